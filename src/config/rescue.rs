//! What may be done for a request that meets trouble: `retry`, `hedge`, `held`, `resume`, `replay`. A backend says so for all its
//! sites, and each site may say otherwise.
//!
//! Not here: what these do (`proxy`, docs/failover.md).

use super::table::{Table, Value};

/// For the requests of one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescue {
    pub retry: Retry,
    /// A safe request that takes its time is sent elsewhere too.
    pub hedge: bool,
    /// Small responses are kept until they are whole.
    pub held: bool,
    pub resume: ResumeFrom,
    /// Small request bodies are kept for as long as they may be needed once more.
    pub replay: bool,
}

/// Which requests are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Only what has provably not begun.
    Off,
    /// GET, HEAD and OPTIONS.
    Safe,
    /// PUT, DELETE and any with an Idempotency-Key too, within their pool.
    Idempotent,
}

/// Where the rest of a response that broke off may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeFrom {
    Nowhere,
    /// Its own pool.
    Pool,
    /// Other pools too: equal tags mean equal bytes there.
    Anywhere,
}

impl Default for Rescue {
    fn default() -> Rescue {
        Rescue { retry: Retry::Safe, hedge: true, held: true, resume: ResumeFrom::Pool, replay: true }
    }
}

/// The keys of a table; what it does not say is as in `otherwise`.
pub(super) fn read(table: &mut Table<'_>, otherwise: Rescue) -> Option<Rescue> {
    const FROM: [(&str, ResumeFrom); 3] =
        [("off", ResumeFrom::Nowhere), ("pool", ResumeFrom::Pool), ("anywhere", ResumeFrom::Anywhere)];
    let retry = table.or("retry", otherwise.retry, retry);
    let hedge = table.or("hedge", otherwise.hedge, Value::flag);
    let held = table.or("held", otherwise.held, Value::flag);
    let resume = table.or("resume", otherwise.resume, |value| value.choice(&FROM));
    let replay = table.or("replay", otherwise.replay, Value::flag);
    Some(Rescue {
        retry: retry?.value,
        hedge: hedge?.value,
        held: held?.value,
        resume: resume?.value,
        replay: replay?.value,
    })
}

/// `true`, `false`, or `{ idempotent = true }`.
fn retry(value: &Value<'_>) -> Option<Retry> {
    if value.is_table() {
        let idempotent = value.table(|table| table.or("idempotent", false, Value::flag))?;
        return Some(if idempotent.value { Retry::Idempotent } else { Retry::Safe });
    }
    value.flag().map(|on| if on { Retry::Safe } else { Retry::Off })
}
