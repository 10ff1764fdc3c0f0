//! What can be made to go wrong in a data centre, and which of it is on. Not here: how it goes wrong (`data_centre`).

/// One thing that goes wrong. The keys 1 to 7 are their places in [`Fault::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Disk,
    Freeze,
    Kill,
    Slow,
    LyingCheck,
    Cut,
    Both,
}

impl Fault {
    pub const ALL: [Fault; 7] =
        [Fault::Disk, Fault::Freeze, Fault::Kill, Fault::Slow, Fault::LyingCheck, Fault::Cut, Fault::Both];

    /// As in `POST /demo/fault/NAME`.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Disk => "disk",
            Fault::Freeze => "freeze",
            Fault::Kill => "kill",
            Fault::Slow => "slow",
            Fault::LyingCheck => "lying-check",
            Fault::Cut => "cut",
            Fault::Both => "both",
        }
    }

    /// In plain words.
    pub const fn about(self) -> &'static str {
        match self {
            Fault::Disk => "the primary's disk fails one read in three (500)",
            Fault::Freeze => "the primary accepts and reads, and never answers",
            Fault::Kill => "the primary is gone: connections reset, new ones refused",
            Fault::Slow => "three in ten of the primary's pages take 3 s",
            Fault::LyingCheck => "every page of the primary is a 500, while its check says all is well",
            Fault::Cut => "half of the primary's pages break off in the middle",
            Fault::Both => "both data centres are gone",
        }
    }

    pub fn named(name: &str) -> Option<Fault> {
        Fault::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// The fault of a key, `1` to `7`.
    pub fn of_key(key: &str) -> Option<Fault> {
        let place = key.parse::<usize>().ok()?.checked_sub(1)?;
        Fault::ALL.get(place).copied()
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Which of the two data centres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Secondary,
}

/// The faults that are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(u8);

impl Faults {
    pub const NONE: Faults = Faults(0);

    pub const fn just(fault: Fault) -> Faults {
        Faults(fault.bit())
    }

    pub const fn has(self, fault: Fault) -> bool {
        self.0 & fault.bit() != 0
    }

    #[must_use]
    pub const fn toggled(self, fault: Fault) -> Faults {
        Faults(self.0 ^ fault.bit())
    }

    /// What of this is felt at one data centre: all but `both` happens at the primary.
    #[must_use]
    pub const fn at(self, role: Role) -> Faults {
        let gone = if self.has(Fault::Both) { Fault::Kill.bit() } else { 0 };
        match role {
            Role::Primary => Faults((self.0 & !Fault::Both.bit()) | gone),
            Role::Secondary => Faults(gone),
        }
    }

    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_names_find_their_faults_and_nothing_else() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(Fault::of_key(&(place + 1).to_string()), Some(fault));
            assert_eq!(Fault::named(fault.name()), Some(fault));
        }
        for nothing in ["", "0", "8", "-1", "x", "99999999999999999999"] {
            assert_eq!(Fault::of_key(nothing), None, "{nothing:?}");
        }
        assert_eq!(Fault::named("Kill"), None);
    }

    #[test]
    fn only_both_reaches_the_secondary() {
        for fault in Fault::ALL {
            let on = Faults::NONE.toggled(fault);
            assert_eq!(on.at(Role::Secondary).has(Fault::Kill), fault == Fault::Both, "{fault:?}");
            assert_ne!(on.at(Role::Primary), Faults::NONE);
            assert_eq!(on.toggled(fault), Faults::NONE);
        }
    }

    #[test]
    fn ending_both_leaves_a_kill_that_was_on_before() {
        let on = Faults::just(Fault::Kill).toggled(Fault::Both);
        assert!(on.toggled(Fault::Both).at(Role::Primary).has(Fault::Kill));
        assert_eq!(on.toggled(Fault::Both).at(Role::Secondary), Faults::NONE);
    }
}
