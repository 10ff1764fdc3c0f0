//! How much is run: `SIM` says, and `SEED` asks for one seed alone.

use std::time::Duration;

/// How many seeds.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// For `cargo test`, which is to be quick.
    pub plain: u64,
    /// For `make test`.
    pub full: u64,
    /// For `make slow`.
    pub slow: u64,
}

impl Scale {
    pub fn count(self) -> u64 {
        match std::env::var("SIM").as_deref() {
            Ok("full") => self.full,
            Ok("slow") => self.slow,
            Ok(other) => panic!("SIM={other}: it is `full`, `slow`, or not set"),
            Err(_) => self.plain,
        }
    }
}

/// Seeds from 0; or the one that `SEED` asks for.
pub fn seeds(scale: Scale) -> impl Iterator<Item = u64> {
    let asked = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let all = if asked.is_some() { 0..0 } else { 0..scale.count() };
    asked.into_iter().chain(all)
}

/// As long as is run: shorter for `cargo test`.
pub fn span(plain: Duration, otherwise: Duration) -> Duration {
    if std::env::var_os("SIM").is_some() { otherwise } else { plain }
}
