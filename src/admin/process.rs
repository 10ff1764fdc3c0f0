//! The process as the kernel sees it: CPU time, memory, descriptors, threads, from /proc.
//!
//! Own code because the prometheus crate's collector cuts CPU seconds to whole ones and brings a second copy of rustix.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// `USER_HZ`: what /proc counts CPU time and start time in. Part of the kernel's interface, 100 a second on every
/// architecture we build for, whatever the kernel's own tick is.
const TICKS_A_SECOND: u64 = 100;

/// What /proc says; nothing of it is guessed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    pub cpu: Duration,
    /// Bytes.
    pub resident: u64,
    /// Bytes.
    pub virtual_size: u64,
    pub threads: u64,
    pub open_fds: u64,
    /// `None`: no limit.
    pub max_fds: Option<u64>,
    /// Since the Unix epoch.
    pub started: Duration,
}

impl Process {
    /// `None` where there is no /proc, or it looks different from what proc(5) says.
    pub fn read() -> Option<Process> {
        let times = times(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let booted = after(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
        Some(Process {
            cpu: times.cpu,
            resident: after(&status, "VmRSS:")?.checked_mul(1024)?,
            virtual_size: after(&status, "VmSize:")?.checked_mul(1024)?,
            threads: after(&status, "Threads:")?,
            open_fds: entries(Path::new("/proc/self/fd"))?.saturating_sub(1), // the one that lists them
            max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            started: Duration::from_secs(booted) + times.after_boot,
        })
    }
}

#[derive(Debug, PartialEq)]
struct Times {
    cpu: Duration,
    after_boot: Duration,
}

/// From /proc/self/stat: `pid (name) state …`. The name may hold blanks and parentheses, so fields count from the last `)`.
fn times(stat: &str) -> Option<Times> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok(); // `state` is proc(5)'s number 3
    let (user, system, start) = (field(14)?, field(15)?, field(22)?);
    Some(Times { cpu: ticks(user.checked_add(system)?), after_boot: ticks(start) })
}

fn ticks(n: u64) -> Duration {
    Duration::from_millis(n.saturating_mul(1000 / TICKS_A_SECOND))
}

/// The number that follows `key` on its line.
fn after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split_ascii_whitespace().next() == Some(key))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn entries(directory: &Path) -> Option<u64> {
    u64::try_from(fs::read_dir(directory).ok()?.count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_keeps_its_fraction_and_odd_names_do_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 123 45 0 0 20 0 5 0 6789 1000 50 more";
        let expected = Times { cpu: Duration::from_millis(1680), after_boot: Duration::from_millis(67_890) };
        assert_eq!(times(stat), Some(expected));
    }

    #[test]
    fn what_is_not_proc_is_none() {
        assert_eq!(times(""), None);
        assert_eq!(times("7 (hotspare) S 1 2"), None);
        assert_eq!(after("VmRSS: much kB", "VmRSS:"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let process = Process::read().unwrap();
        assert!(process.resident > 1 << 20 && process.virtual_size >= process.resident, "{process:?}");
        assert!(process.open_fds >= 3 && process.threads >= 1, "{process:?}");
        assert!(process.started > Duration::from_secs(1_600_000_000), "{process:?}");
    }
}
