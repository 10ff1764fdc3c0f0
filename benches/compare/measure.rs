//! One turn: h2load's count and time, and the CPU time of the proxy's processes meanwhile.

use crate::Load;
use crate::proxies::{LOAD_CORE, Proxy, taskset};
use std::fs;

/// What one turn brought.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub requests_per_second: f64,
    /// CPU microseconds of the proxy, user and system, per request.
    pub cpu: f64,
}

/// Panics unless every request was answered with 200.
pub fn measure(proxy: &Proxy, load: &Load) -> Sample {
    let (mut requests, mut seconds) = (0.0, 0.0);
    let before = cpu_micros(proxy.process_group());
    for _ in 0..load.times {
        let said = h2load(proxy, load);
        let whole = format!("{} succeeded, 0 failed, 0 errored, 0 timeout", load.requests);
        assert!(said.contains(&whole) && said.contains(&format!("status codes: {} 2xx", load.requests)), "{said}");
        requests += f64::from(load.requests);
        seconds += f64::from(load.requests) / rate(&said);
    }
    let cpu = cpu_micros(proxy.process_group()) - before;
    Sample { requests_per_second: requests / seconds, cpu: cpu / requests }
}

/// What h2load printed.
pub fn h2load(proxy: &Proxy, load: &Load) -> String {
    let (requests, connections) = (load.requests.to_string(), load.connections.to_string());
    let mut command = taskset(LOAD_CORE, "h2load");
    command.args(["-n", &requests, "-c", &connections]).args(load.options);
    let output = command.arg(format!("https://{}{}", proxy.address, load.path)).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// From `finished in 2.04s, 19607.84 req/s, 21.33MB/s`.
fn rate(said: &str) -> f64 {
    let line = said.lines().find(|line| line.starts_with("finished in")).unwrap_or_else(|| panic!("{said}"));
    line.split(", ").find_map(|part| part.strip_suffix(" req/s")).and_then(|rate| rate.parse().ok()).unwrap()
}

/// CPU time of all processes of the group so far. They live through all turns, so none of it is lost with a process.
fn cpu_micros(group: u32) -> f64 {
    let group = group.to_string();
    let mut ticks = 0;
    for process in fs::read_dir("/proc").unwrap() {
        let Ok(stat) = fs::read_to_string(process.unwrap().path().join("stat")) else { continue };
        // Fields after the name, which is in brackets and may hold anything: state, parent, group … (proc(5)).
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = fields.split(' ').collect();
        if fields[2] == group {
            let (user, system): (u32, u32) = (fields[11].parse().unwrap(), fields[12].parse().unwrap());
            ticks += user + system;
        }
    }
    f64::from(ticks) * 10_000.0 // Linux counts in hundredths of a second (USER_HZ), on every machine we run on
}

/// The middle one.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
