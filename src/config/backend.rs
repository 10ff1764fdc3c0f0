//! `[[backend]]` read: failback, tally, timeouts and more. Not here: its `probe` and its pools, which have files of their own.

use super::include::{Extent, Top};
use super::pair_files::Pairs;
use super::pools::{self, Found, name};
use super::probe;
use super::problem::{Report, What};
use super::proxies::{self, ForwardedAs};
use super::rescue::{self, Rescue};
use super::rules;
use super::table::{Seen, Table};
use super::units::TIMEOUT;
use super::{Backend, HttpVersion, Scheme, Timeouts};
use crate::domain::{Name, Percent, Rules};
use std::ops::RangeInclusive;
use std::time::Duration;

const NAME: &str = "name = \"sites\"";

/// In all pools of all backends: each has counters in every worker and a probe of its own.
const MOST_ENDPOINTS: usize = 65_536;

/// A pool that flaps is held down for at most an hour, an endpoint ejected for at most five minutes: the first time
/// can't be longer.
const HOLD_DOWN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);

/// What `[[backend]]` came to.
pub(super) struct Backends {
    /// Their names in the order of the files; `None` where a name or a file could not be read, so that nobody can say that
    /// a backend does not exist.
    pub(super) names: Option<Vec<Name>>,
    pub(super) all: Option<Vec<Backend>>,
}

/// All backends, and that no two share a name.
pub(super) fn read(report: &Report, pairs: &Pairs<'_>, top: &mut Top<'_>) -> Backends {
    let mut names = Seen::new(report);
    let mut found = Found::new(pairs);
    let read = top.each("backend", "[[backend]]", |table| {
        let (name, backend) = one(report, table, &mut names, &mut found);
        Some((name, backend)) // either may be missing without the other
    });
    let Some(read) = read else { return Backends { names: None, all: None } };
    if read.is_empty() && top.extent == Extent::Whole {
        report.add(None, What::NoBackend);
    }
    if found.endpoints > MOST_ENDPOINTS {
        report.add(None, What::TooManyEndpoints { count: found.endpoints });
    }
    // An item of the list that is no table was said to be wrong; it counts as a backend whose name is not known.
    let (names, all): (Vec<_>, Vec<_>) = read.into_iter().map(Option::unwrap_or_default).unzip();
    let names: Option<Vec<_>> = names.into_iter().collect();
    Backends { names: names.filter(|_| top.extent == Extent::Whole), all: all.into_iter().collect() }
}

fn one(
    report: &Report,
    table: &mut Table<'_>,
    names: &mut Seen<'_, Name>,
    found: &mut Found<'_>,
) -> (Option<Name>, Option<Backend>) {
    let name = table.required("name", NAME, |value| name(value, "backend", names));
    let name = name.map(|name| name.value);
    let probe = table.nested("probe", probe::read);
    let scheme = table.or("scheme", Scheme::Http, |value| value.choice(&Scheme::ALL));
    let pools = pools::read(report, table, scheme.map(|scheme| scheme.value), probe.as_ref(), found);
    let min_up = table.or("min_up", 50, |value| value.percent(1..=100));
    let min_dwell = table.or("min_dwell", Duration::from_secs(5), |value| value.duration(HOLD_DOWN));
    let rescue = rescue::read(table, Rescue::default());
    let proxy_protocol = table.or("proxy_protocol", None, proxies::of_backend);
    if let (Some(pools), Some(introduces)) = (&pools, &proxy_protocol)
        && introduces.value.is_some()
        && let Some(pool) = pools.iter().find(|pool| pool.scheme.version() == HttpVersion::Http2)
    {
        table.note_at(introduces, What::IntroducedHttp2 { pool: pool.name.to_string() });
    }
    let forwarded = table.or("forwarded", ForwardedAs::XForwarded, |value| value.choice(&ForwardedAs::ALL));
    let timeouts = table.nested("timeouts", timeouts);
    let failback = table.nested("failback", |table| rules::failback(table, probe.as_ref()));
    let tally = table.nested("tally", rules::tally);
    let max_lag = table.optional("max_lag", |value| value.duration(rules::LAG));
    let own_writes = table.or("own_writes", Duration::from_secs(10), |value| value.duration(rules::WAIT));
    let write_wait = table.or("write_wait", Duration::from_secs(2), |value| value.duration(rules::WAIT));
    let write_drain = table.or("write_drain", Rules::default().write_drain, |value| value.duration(rules::WAIT));
    if let (Some(wait), Some(drain)) = (&write_wait, &write_drain)
        && drain.value >= wait.value
    {
        let at = if drain.at.is_some() { drain } else { wait };
        table.note_at(at, What::WriteDrain { drain: drain.value, wait: wait.value });
    }
    let backend = || {
        let (probe, failback, tally) = (probe?, failback?, tally?);
        Some(Backend {
            name: name.clone()?,
            pools: pools?,
            probe: probe.probe,
            rules: Rules {
                fall: probe.fall,
                rise: probe.rise,
                trip: tally.trip,
                consecutive: tally.consecutive,
                confirm: tally.confirm,
                ejection_time: tally.ejection_time,
                intermittent: tally.intermittent,
                on_intermittent: tally.on_intermittent,
                min_up: Percent(min_up?.value),
                max_lag: max_lag?.value,
                min_dwell: min_dwell?.value,
                failback: failback.mode,
                stable_for: failback.stable_for,
                after_writes: failback.after_writes,
                ramp: failback.ramp,
                write_drain: write_drain?.value,
            },
            own_writes: own_writes?.value,
            write_wait: write_wait?.value,
            timeouts: timeouts?,
            rescue: rescue?,
            proxy_protocol: proxy_protocol?.value,
            forwarded: forwarded?.value,
        })
    };
    let backend = backend();
    (name, backend)
}

fn timeouts(table: &mut Table<'_>) -> Option<Timeouts> {
    let connect = table.or("connect", Duration::from_secs(1), |value| value.duration(TIMEOUT));
    let head = table.or("head", Duration::from_secs(60), |value| value.duration(TIMEOUT));
    let body_idle = table.or("body_idle", Duration::from_secs(60), |value| value.duration(TIMEOUT));
    let total = table.optional("total", |value| value.duration(TIMEOUT));
    let tunnel_idle = table.or("tunnel_idle", Duration::from_secs(3_600), |value| value.duration(TIMEOUT));
    if let (Some(connect), Some(total)) = (&connect, &total)
        && let Some(limit) = total.value.filter(|limit| *limit < connect.value)
    {
        table.note_at(total, What::TotalTimeout { total: limit, connect: connect.value });
    }
    Some(Timeouts {
        connect: connect?.value,
        head: head?.value,
        body_idle: body_idle?.value,
        total: total?.value,
        tunnel_idle: tunnel_idle?.value,
    })
}
