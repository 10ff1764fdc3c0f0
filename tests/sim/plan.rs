//! What one run is made of: the configuration, the traffic, and what happens when. A plan and nothing else decides how a run
//! goes, so a run can be had again, and with one thing less.
//!
//! Not here: how plans are drawn from a seed (`draw`).

use crate::rng::Rng;
use hotspare::domain::{BackendSetup, Class, Name, Order, PoolSetup, PoolWrites, Rules, Setup};
use std::time::Duration;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub rules: Rules,
    pub pools: Vec<PoolPlan>,
    pub pace: Pace,
    pub traffic: Traffic,
    /// Whether probes are told how far behind their pool is.
    pub reports_lag: ReportsLag,
    pub items: Vec<Item>,
    /// When all faults have ended.
    pub hurt: Duration,
    pub heal: Heal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolPlan {
    pub endpoints: usize,
    pub writes: PoolWrites,
}

/// When endpoints are probed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub interval: Duration,
    pub fast: Duration,
    pub timeout: Duration,
    /// The share of probes that get no answer although nothing is wrong.
    pub lost: f64,
}

impl Pace {
    /// How long a hard failure may go unnoticed by probes alone.
    pub fn bound(&self, rules: &Rules) -> Duration {
        self.interval.mul_f64(1.1) + (self.timeout + self.fast) * rules.fall
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Requests a second.
    pub rate: f64,
    /// The share of unsafe ones.
    pub writes: f64,
    /// The share of attempts answered with a failing status although nothing is wrong.
    pub noise: f64,
    /// The share of unsafe requests that run for up to three seconds.
    pub long_writes: f64,
    /// Who only reads, and who writes and reads.
    pub readers: usize,
    pub writers: usize,
    pub paths: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportsLag {
    No,
    Yes,
}

/// What follows when the faults have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heal {
    /// Nothing: the run ends.
    None,
    /// All must be well in time, or the snapshot says what is waited for.
    Wait,
    /// Commands are released first and writes given up: then nothing may be left to wait for but time.
    Release,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub struct Item {
    pub at: Duration,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Fault {
        fault: Fault,
        hits: Vec<Place>,
        until: Duration,
    },
    /// That pool falls behind by a second a second until then, and catches up by five a second.
    Lag {
        pool: usize,
        until: Duration,
    },
    Order(Order),
    Reload(Reload),
    Restart,
}

/// (pool, endpoint), by rank.
pub type Place = (usize, usize);

#[derive(Clone, Copy, Debug)]
pub enum Reload {
    Same,
    Add {
        pool: usize,
    },
    /// The last endpoint of it, unless it is the only one.
    Remove {
        pool: usize,
    },
}

/// What can be wrong with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nobody listens; what ran is reset.
    Crash,
    /// Accepts, and answers nobody, probes included.
    Freeze,
    /// The same for 400 ms each two seconds.
    Pauses,
    /// A share of pages takes so long; probes are quick.
    Slow {
        share: f64,
        takes: Duration,
    },
    /// A share of all requests gets a failing status; of probes too.
    Errors {
        share: f64,
    },
    /// The same, and the check says "ok".
    LyingCheck {
        share: f64,
    },
    Resets {
        share: f64,
    },
    Cuts {
        share: f64,
    },
    /// Unsafe requests get a failing status; nothing else does.
    WritesFail,
    /// Probes are answered badly, pages well.
    FailedCheck,
    /// Half of each period it is broken.
    Flapping {
        period: Duration,
        how: Flap,
    },
    /// Probes get no answer, pages do.
    ProbesLost,
    /// Nothing gets through, not even a refusal.
    CutOff,
    /// Some paths get a failing status.
    BrokenPaths {
        paths: usize,
    },
    /// One client's requests get a failing status.
    BrokenClient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flap {
    Refuses,
    /// Pages fail, and the check says "ok".
    Lies,
}

pub const BACKEND: &str = "sites";

impl Traffic {
    /// Somebody who asks; few of the reads are those of who writes.
    pub fn client(&self, class: Class, rng: &mut Rng) -> usize {
        match class {
            Class::Safe if !rng.chance(0.1) => rng.below(self.readers),
            Class::Safe | Class::Unsafe => self.readers + rng.below(self.writers),
        }
    }
}

impl Plan {
    /// A public site as configured by default, with nothing going wrong: what the named tests begin from.
    pub fn quiet(seed: u64, rate: f64, hurt: Duration) -> Plan {
        Plan {
            seed,
            rules: Rules { after_writes: hotspare::domain::AfterWrites::Auto, ..Rules::default() },
            pools: vec![PoolPlan { endpoints: 1, writes: PoolWrites::After(Duration::ZERO) }; 2],
            pace: Pace {
                interval: Duration::from_secs(1),
                fast: Duration::from_millis(250),
                timeout: Duration::from_secs(1),
                lost: 0.0,
            },
            traffic: Traffic { rate, writes: 0.15, noise: 0.0, long_writes: 0.0, readers: 50, writers: 20, paths: 40 },
            reports_lag: ReportsLag::No,
            items: Vec::new(),
            hurt,
            heal: Heal::None,
        }
    }

    pub fn fault(mut self, fault: Fault, hits: &[Place], from: Duration, until: Duration) -> Plan {
        self.items.push(Item { at: from, what: What::Fault { fault, hits: hits.to_vec(), until } });
        self
    }
}

/// The setup in which each pool has so many endpoints, named by their numbers.
pub fn setup(rules: Rules, pools: &[(Vec<usize>, PoolWrites)]) -> Setup {
    let pool = |(index, (endpoints, writes)): (usize, &(Vec<usize>, PoolWrites))| PoolSetup {
        name: pool_name(index),
        endpoints: endpoints.iter().map(|endpoint| endpoint_name(index, *endpoint)).collect(),
        writes: *writes,
    };
    let pools = pools.iter().enumerate().map(pool).collect();
    Setup { backends: vec![BackendSetup { name: BACKEND.into(), rules, pools }] }
}

pub fn pool_name(pool: usize) -> Name {
    format!("p{pool}").into()
}

pub fn endpoint_name(pool: usize, endpoint: usize) -> Name {
    format!("p{pool}e{endpoint}").into()
}
