//! A pool's health, derived from its endpoints'.

/// A pool's health. `Up` and `Degraded` are *usable*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolHealth {
    /// Every endpoint is up.
    Up,
    /// Some are not, but at least `min_up` are.
    Degraded,
    Down,
}

impl PoolHealth {
    /// The word for it in metrics, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            PoolHealth::Up => "up",
            PoolHealth::Degraded => "degraded",
            PoolHealth::Down => "down",
        }
    }

    /// Whether the pool may serve.
    pub const fn is_usable(self) -> bool {
        match self {
            PoolHealth::Up | PoolHealth::Degraded => true,
            PoolHealth::Down => false,
        }
    }
}
