//! libFuzzer's way into the fuzz targets. `FUZZ_TARGET` says which; everything else is libFuzzer's own command line.
#![no_main]

#[path = "../../tests/it/smuggled/dialect.rs"]
#[allow(dead_code, reason = "the test `it` uses more of it")]
mod dialect;
#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

use std::sync::LazyLock;
use targets::Target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let known = targets::ALL.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    let target = targets::ALL.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("FUZZ_TARGET={name}: it is one of {known}"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
