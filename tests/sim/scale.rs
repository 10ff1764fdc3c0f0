//! How much is run: `SIM` says, and `SEED` asks for one seed alone.

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

/// Seeds from 0; or the one that `SEED` asks for, which is at least run where a day's are asked for too.
pub fn seeds(scale: Scale) -> impl Iterator<Item = u64> {
    let asked = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let all = if asked.is_some() { 0..0 } else { 0..scale.count() };
    asked.into_iter().chain(all)
}
