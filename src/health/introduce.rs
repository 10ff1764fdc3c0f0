//! The first probe of endpoints that a new config brings with it, before it is in force: so nobody is sent to one that does not
//! answer, and a config that names none but those is noticed before users do.
//!
//! Bounds: [`AT_ONCE`] probes at once; all of it takes one probe's timeout (the longest) and [`MORE`]. Whoever was not reached by
//! then is unproven, as at a start.
//!
//! Not here: what follows (`domain::introduce`), the probes after that (`prober`).

use super::probe::{Heard, Target, probe};
use crate::config::Config;
use crate::domain::{Introduced, Name, ProbeReport};
use crate::runtime::clock::Clock;
use futures_util::stream::{self, StreamExt};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

const AT_ONCE: usize = 128;
const MORE: Duration = Duration::from_secs(5);

/// A backend's name, a pool's, an endpoint's.
type Place = (Name, Name, Name);

/// Probes once whom `after` has and `before` has not. Blocks nobody.
#[allow(
    clippy::mutable_key_type,
    reason = "targets are told apart by bytes of headers and digests, which never change"
)]
pub async fn introduce(before: &Config, after: &Config, clock: Clock) -> Vec<Introduced> {
    let known: HashSet<Place> = places(before).map(|(place, _)| place).collect();
    let mut questions: HashMap<Target, Vec<Place>> = HashMap::new();
    for (place, target) in places(after).filter(|(place, _)| !known.contains(place)) {
        questions.entry(target).or_default().push(place);
    }
    let longest = questions.keys().map(|target| target.timeout).max().unwrap_or_default();
    let ask = async |(target, places): (Target, Vec<Place>)| {
        let began = clock.now();
        (began, probe(&target, clock).await, places)
    };
    let mut answers = std::pin::pin!(stream::iter(questions).map(ask).buffer_unordered(AT_ONCE));
    let deadline = clock.instant(clock.now().after(longest + MORE));
    let mut introduced = Vec::new();
    while let Ok(Some((began, heard, places))) = tokio::time::timeout_at(deadline, answers.next()).await {
        // A shortage of ours proves nothing, and leaves them unproven.
        let Ok(Heard { result, lag }) = heard else { continue };
        let report = ProbeReport { result, began, answered_meanwhile: 0, lag: lag.lag() };
        introduced.extend(places.into_iter().map(|(backend, pool, endpoint)| Introduced {
            backend,
            pool,
            endpoint,
            report,
        }));
    }
    introduced
}

fn places(config: &Config) -> impl Iterator<Item = (Place, Target)> + '_ {
    config.backends.iter().flat_map(|backend| {
        backend.pools.iter().flat_map(move |pool| {
            pool.endpoints.iter().map(move |endpoint| {
                ((backend.name.clone(), pool.name.clone(), endpoint.name.clone()), Target::of(backend, endpoint))
            })
        })
    })
}
