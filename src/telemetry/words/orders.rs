//! Operators' commands in words: what follows from one, and why it was not taken. One sentence each, for somebody who was woken
//! for it: which pool, what users see, and the command that ends it.

use super::span;
use crate::domain::{Command, Consequence, NothingToDo, PlaceName, Refusal};

/// What follows from that command.
pub fn consequence(command: &Command, consequence: &Consequence) -> String {
    match consequence {
        Consequence::Moves { backend, from, to } => {
            format!(
                "{backend}: new requests go to {to} instead of {from}, at once; {}",
                way_back(command, backend, from)
            )
        }
        Consequence::Ramps { backend, from, to, over } => {
            let back = way_back(command, backend, from);
            format!("{backend}: new requests move from {from} to {to} little by little, within {}; {back}", span(*over))
        }
        Consequence::Diverges { backend, pool } => format!(
            "{backend}: {pool} takes writes from then on that the pools before it lack; `hotspare failback {backend}` gives those \
             up unless they were copied (`hotspare readonly {backend}` beforehand keeps writes out)"
        ),
        Consequence::GivesUpWrites { backend, pool } => format!(
            "{backend}: what was written to {pool} and the pools before it lack is given up, unless it was copied by other means; \
             no command brings it back"
        ),
        Consequence::RefusesWrites { backend } => {
            format!("{backend}: writes get the read-only page, reads go on; {}", writes_end(command, backend))
        }
        Consequence::TakesWritesAgain { backend, pool } => {
            format!("{backend}: {pool} takes writes again; `hotspare readonly {backend}` keeps them out")
        }
        Consequence::NoUsablePool { backend } => {
            format!("{backend}: no usable pool is left and users get errors; {}", errors_end(command))
        }
        Consequence::Drains { backend, pool, endpoint } => {
            let (place, name) = match endpoint {
                Some(endpoint) => (format!("{endpoint} in {pool}"), endpoint),
                None => (pool.to_string(), pool),
            };
            let end = format!("`hotspare undrain {name}` ends that");
            format!("{backend}: nothing new goes to {place}, what runs there is finished; {end}")
        }
        Consequence::RulesDecide { backend } => format!(
            "{backend}: health and the failback rules decide again which pool serves; `hotspare hold {backend}` keeps it where it is"
        ),
        Consequence::Stays { backend, pool } => {
            let how = if let Command::Hold { .. } = command { ", whatever health says" } else { " for now" };
            let end = ends(command).map_or(String::new(), |end| format!("; {end}"));
            format!("{backend}: {pool} keeps serving{how}{end}")
        }
    }
}

/// Why it was not taken.
pub fn refusal(command: &Command, refusal: &Refusal) -> String {
    let force = if let Command::Failover { .. } | Command::Drain { .. } = command {
        "; `--force` does it all the same"
    } else {
        "; `hotspare status` says what is wrong there"
    };
    match refusal {
        Refusal::NoSuchBackend { name } => format!("there is no backend `{name}`"),
        Refusal::NoSuchPool { backend, name } => format!("backend {backend} has no pool `{name}`"),
        Refusal::NoSuchPlace { place: PlaceName::Pool(name) } => format!("no backend has a pool `{name}`"),
        Refusal::NoSuchPlace { place: PlaceName::Endpoint(name) } => format!("no pool has an endpoint `{name}`"),
        Refusal::NoUsablePool { backend } => {
            format!("{backend} would be left without a usable pool, and its users with errors{force}")
        }
        Refusal::NotUsable { backend, pool } => format!("{pool} is not usable, so {backend} does not go there{force}"),
        Refusal::NothingToDo { what: NothingToDo::Serves { backend, pool } } => {
            format!("{pool} serves {backend} already")
        }
        Refusal::NothingToDo { what: NothingToDo::NothingStands } => {
            "nothing of the kind stands, so there is nothing to end; `hotspare status` shows what does".to_owned()
        }
        Refusal::NothingToDo { what: NothingToDo::NothingToAcknowledge { backend } } => {
            format!("{backend} waits for no acknowledgement")
        }
        Refusal::NoOtherPool { backend } => format!("{backend} has one pool only, so there is nowhere to go"),
        Refusal::Held { backend } => format!(
            "a hold keeps {backend} where it is; `hotspare release {backend}` ends it, or `hotspare release --all` where all are held"
        ),
        Refusal::TooMany { limit } => {
            format!(
                "{limit} commands stand already, and no more can; `hotspare release` and `hotspare undrain` end some"
            )
        }
    }
}

/// How requests get back to where they were.
fn way_back(command: &Command, backend: &str, from: &str) -> String {
    match command.undo() {
        Some(undo @ Command::Release { .. }) => format!("`hotspare {undo}` lets health decide again"),
        Some(undo @ Command::Undrain { .. }) => format!("`hotspare {undo}` ends that"),
        // What ends a command undoes more than was done, and a failback is done once: a command of its own brings them back.
        Some(_) | None => format!("`hotspare failover {backend} --to {from}` brings them back"),
    }
}

fn writes_end(command: &Command, backend: &str) -> String {
    if let Command::Failback { .. } = command {
        return "that ends with the way back".to_owned();
    }
    ends(command).unwrap_or_else(|| format!("`hotspare ack {backend}` ends that"))
}

fn errors_end(command: &Command) -> String {
    ends(command).unwrap_or_else(|| "`hotspare status` says what is wrong with each".to_owned())
}

/// Which command ends one that stands.
fn ends(command: &Command) -> Option<String> {
    command.undo().map(|undo| format!("`hotspare {undo}` ends that"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Scope;
    use std::time::Duration;

    fn failover() -> Command {
        Command::Failover { backend: "sites".into(), to: Some("oregon".into()) }
    }

    fn failback() -> Command {
        Command::Failback { backend: "sites".into() }
    }

    #[test]
    fn each_consequence_names_the_pool_and_the_command_that_ends_it() {
        let (backend, from, to) = ("sites".into(), "new-jersey".into(), "oregon".into());
        assert_eq!(
            consequence(&failover(), &Consequence::Moves { backend, from, to }),
            "sites: new requests go to oregon instead of new-jersey, at once; `hotspare release sites` lets health decide again",
        );
        let (backend, from, to) = ("sites".into(), "oregon".into(), "new-jersey".into());
        let over = Duration::from_secs(30);
        assert_eq!(
            consequence(&failback(), &Consequence::Ramps { backend, from, to, over }),
            "sites: new requests move from oregon to new-jersey little by little, within 30s; \
             `hotspare failover sites --to oregon` brings them back",
        );
        assert_eq!(
            consequence(&failover(), &Consequence::Diverges { backend: "sites".into(), pool: "oregon".into() }),
            "sites: oregon takes writes from then on that the pools before it lack; `hotspare failback sites` gives those up \
             unless they were copied (`hotspare readonly sites` beforehand keeps writes out)",
        );
        assert_eq!(
            consequence(&failback(), &Consequence::RefusesWrites { backend: "sites".into() }),
            "sites: writes get the read-only page, reads go on; that ends with the way back",
        );
        assert_eq!(
            consequence(
                &Command::Hold { scope: Scope::All },
                &Consequence::Stays { backend: "sites".into(), pool: "oregon".into() }
            ),
            "sites: oregon keeps serving, whatever health says; `hotspare release --all` ends that",
        );
        let place = PlaceName::Endpoint("10.1.0.11:8080".into());
        let (backend, pool) = ("sites".into(), "new-jersey".into());
        let endpoint = Some("10.1.0.11:8080".into());
        assert_eq!(
            consequence(&Command::Drain { place: place.clone() }, &Consequence::Drains { backend, pool, endpoint }),
            "sites: nothing new goes to 10.1.0.11:8080 in new-jersey, what runs there is finished; \
             `hotspare undrain 10.1.0.11:8080` ends that",
        );
        assert_eq!(
            consequence(&Command::Drain { place }, &Consequence::NoUsablePool { backend: "sites".into() }),
            "sites: no usable pool is left and users get errors; `hotspare undrain 10.1.0.11:8080` ends that",
        );
    }

    #[test]
    fn a_refusal_offers_force_only_where_there_is_one() {
        let not_usable = Refusal::NotUsable { backend: "sites".into(), pool: "oregon".into() };
        assert_eq!(
            refusal(&failover(), &not_usable),
            "oregon is not usable, so sites does not go there; `--force` does it all the same",
        );
        assert_eq!(
            refusal(&failback(), &not_usable),
            "oregon is not usable, so sites does not go there; `hotspare status` says what is wrong there",
        );
    }
}
