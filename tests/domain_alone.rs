//! The decision core stands alone: it compiles without the rest of the crate and without any other, warnings denied.

use std::process::Command;

#[test]
fn the_domain_compiles_by_itself() {
    let out = tempfile::tempdir().unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "lib", "--crate-name", "domain", "--emit", "metadata"])
        .args(["-D", "warnings", "--out-dir"])
        .arg(out.path())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/domain/mod.rs"))
        .output()
        .expect("rustc runs: cargo has just used it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
