//! One run of one row: a fresh start, visitors, the fault in its course, and the sums.

use crate::fault::{Action, FROM, Fault, LENGTH, Trouble};
use crate::front::{ADDRESS, Front, Proxy};
use crate::place::{DataCentre, Place};
use crate::sums::{Sums, Traces};
use crate::variant::Variant;
use crate::visitors::{self, Invitation};
use anyhow::bail;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

struct Places {
    new_jersey: DataCentre,
    oregon: DataCentre,
}

impl Places {
    fn at(&mut self, place: Place) -> &mut DataCentre {
        match place {
            Place::NewJersey => &mut self.new_jersey,
            Place::Oregon => &mut self.oregon,
        }
    }
}

pub fn run(fault: &Fault, proxy: Proxy, variant: Variant) -> anyhow::Result<Sums> {
    let directory = tempfile::tempdir()?;
    let mut places = Places {
        new_jersey: DataCentre::open(Place::NewJersey, variant.endpoints(), directory.path())?,
        oregon: DataCentre::open(Place::Oregon, variant.endpoints(), directory.path())?,
    };
    let mut front = Front::open(proxy, variant, directory.path())?;

    let soon = Duration::from_millis(100);
    let (begin, struck) = (Instant::now() + soon, SystemTime::now() + soon + FROM);
    let certificate = front.certificate.clone();
    let crowd = visitors::come(Invitation { door: ADDRESS, variant, certificate, begin, length: LENGTH });
    for (at, action) in &fault.course {
        sleep((begin + *at).saturating_duration_since(Instant::now()));
        match *action {
            Action::Kill(place) => places.at(place).kill(),
            Action::Start(place) => places.at(place).start()?,
            Action::Freeze(place) => places.at(place).freeze()?,
            Action::Thaw(place) => places.at(place).thaw()?,
            Action::Trouble(place, trouble) => places.at(place).trouble(trouble)?,
            Action::Reload => front.reload()?,
        }
    }
    let strikes = fault.course.iter().any(|(_, action)| matches!(action, Action::Trouble(..)));
    let met = places.new_jersey.met() + places.oregon.met();
    let checks = proxy != Proxy::Nginx; // without, nobody asks for the page that is ill in `failed-check`
    if strikes && met == 0 && checks {
        bail!("nobody met the trouble: this row would say nothing");
    }
    let report = crowd.join().expect("visitors do not panic")?;
    let told = front.close()?;

    let mut runs: BTreeMap<u64, usize> = places.new_jersey.runs()?;
    for (id, times) in places.oregon.runs()? {
        *runs.entry(id).or_default() += times;
    }
    let broken_pages =
        fault.course.iter().any(|(_, action)| matches!(action, Action::Trouble(_, Trouble::BrokenPages)));
    Ok(Sums::of(&Traces { broken_pages, met, report, told, struck, runs }))
}
