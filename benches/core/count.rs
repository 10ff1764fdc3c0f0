//! Instructions, by callgrind: this program again, under valgrind, for one row.

use crate::scene::COUNTED;
use anyhow::{Context, ensure};
use std::fs;
use std::process::{Command, Stdio};

/// How many a run of that row takes: the mean of some.
pub fn of(row: &str) -> anyhow::Result<u64> {
    let directory = tempfile::tempdir()?;
    let counts = directory.path().join("counts");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*measured*"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(std::env::current_exe()?)
        .args(["--counted", row])
        .stdin(Stdio::null())
        .output()
        .context("valgrind (tests/tools.sh installs it)")?;
    ensure!(output.status.success(), "valgrind: {}", String::from_utf8_lossy(&output.stderr));
    let counts = fs::read_to_string(counts).context("what callgrind counted")?;
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind gave no total")?;
    let total: u64 = total.trim().parse().context("callgrind's total")?;
    ensure!(total > 0, "callgrind found no function called `measured`");
    Ok(total / COUNTED)
}
