//! Memories of all kinds, for tests.

use crate::domain::{BackendMemory, Command, Diverged, Memory, Name, PlaceName, PoolMemory, Scope, WritesMemory};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::time::Duration;

/// After a failover: Oregon serves and has diverged, one command ends in ten minutes and one stands.
pub fn failed_over() -> Memory {
    let pool =
        |name: &str, diverged, failovers| PoolMemory { name: name.into(), diverged, failovers, writes_failed: false };
    let backend = BackendMemory {
        name: "sites".into(),
        serving: "oregon".into(),
        writes: WritesMemory::AsUsual,
        pools: vec![pool("new-jersey", Diverged::No, 2), pool("oregon", Diverged::Yes, 0)],
    };
    let hold = Command::Hold { scope: Scope::Backend("sites".into()) };
    let drain = Command::Drain { place: PlaceName::Endpoint("10.1.0.11:8080".into()) };
    Memory { backends: vec![backend], commands: vec![(hold, Some(Duration::from_secs(600))), (drain, None)] }
}

pub fn memories() -> impl Strategy<Value = Memory> {
    let commands = vec((commands(), option::of(durations())), 0..6);
    (vec(backends(), 0..4), commands).prop_map(|(backends, commands)| Memory { backends, commands })
}

fn names() -> impl Strategy<Value = Name> {
    prop_oneof![Just("oregon".to_owned()), Just("[2001:db8::1]:8080".to_owned()), any::<String>()].prop_map(Into::into)
}

fn durations() -> impl Strategy<Value = Duration> {
    (0..u64::MAX / 2, 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn backends() -> impl Strategy<Value = BackendMemory> {
    let writes =
        prop_oneof![Just(WritesMemory::AsUsual), Just(WritesMemory::UntilAck), Just(WritesMemory::UntilInSync)];
    let row = (names(), names(), writes, vec(pools(), 0..4));
    row.prop_map(|(name, serving, writes, pools)| BackendMemory { name, serving, writes, pools })
}

fn pools() -> impl Strategy<Value = PoolMemory> {
    let diverged = prop_oneof![Just(Diverged::No), Just(Diverged::Yes)];
    (names(), diverged, any::<u32>(), any::<bool>()).prop_map(|(name, diverged, failovers, writes_failed)| PoolMemory {
        name,
        diverged,
        failovers,
        writes_failed,
    })
}

fn commands() -> impl Strategy<Value = Command> {
    let scopes = || prop_oneof![Just(Scope::All), names().prop_map(Scope::Backend)];
    let places = || prop_oneof![names().prop_map(PlaceName::Pool), names().prop_map(PlaceName::Endpoint)];
    prop_oneof![
        (names(), option::of(names())).prop_map(|(backend, to)| Command::Failover { backend, to }),
        names().prop_map(|backend| Command::Failback { backend }),
        scopes().prop_map(|scope| Command::Hold { scope }),
        places().prop_map(|place| Command::Drain { place }),
        names().prop_map(|backend| Command::ReadOnly { backend }),
        names().prop_map(|backend| Command::Ack { backend }),
        scopes().prop_map(|scope| Command::Release { scope }),
        places().prop_map(|place| Command::Undrain { place }),
    ]
}
