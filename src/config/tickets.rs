//! The keys that session tickets are sealed with: one set for the whole process, so that tickets are good on every listener and survive a
//! reload. A new key is made every 6 hours, and a ticket is good for 6 to 12 hours.
//!
//! A session that is resumed shows no certificate, and its client none either. So a ticket is good only where the same is asked of
//! clients as where it was given: else one from a listener that asks for nothing would open another that does.

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use std::sync::{Arc, OnceLock};

/// Tickets of listeners that ask clients for a certificate which leads to the same authorities.
#[derive(Debug)]
struct Bound {
    keys: Arc<dyn ProducesTickets>,
    authorities: Arc<[u8]>,
}

/// For a listener that asks clients for a certificate of these authorities (their digest), or for none. `None` (the system gives no
/// randomness): clients shake hands in full.
pub(super) fn ticketer(authorities: Option<&Arc<[u8]>>) -> Option<Arc<dyn ProducesTickets>> {
    // rustls's own `Ticketer` changes its key as said above (its `crypto/aws_lc_rs/ticketer.rs`); a test holds it to that.
    static KEYS: OnceLock<Option<Arc<dyn ProducesTickets>>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| Ticketer::new().ok()).clone()?;
    // Tickets of those that ask for none are bound too: to nothing, which is no digest.
    let authorities = authorities.cloned().unwrap_or_default();
    Some(Arc::new(Bound { keys, authorities }))
}

impl ProducesTickets for Bound {
    fn enabled(&self) -> bool {
        self.keys.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.keys.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let length = u8::try_from(self.authorities.len()).ok()?;
        self.keys.encrypt(&[&[length], &*self.authorities, session].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let opened = self.keys.decrypt(ticket)?;
        let (length, rest) = opened.split_first()?;
        let (authorities, session) = rest.split_at_checked(usize::from(*length))?;
        (*authorities == *self.authorities).then(|| session.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_good_where_the_same_is_asked_of_clients_over_reloads_too() {
        let [one, other] = [1, 2].map(|n| Some(Arc::from([n; 32])));
        for asked in [None, one.clone()] {
            let ticket = ticketer(asked.as_ref()).unwrap().encrypt(b"session").unwrap();
            let opened = |asked: &Option<Arc<[u8]>>| ticketer(asked.as_ref()).unwrap().decrypt(&ticket);
            assert_eq!(
                opened(&asked).unwrap(),
                b"session",
                "each listener and each reload makes a ticketer of its own"
            );
            for elsewhere in [None, one.clone(), other.clone()].into_iter().filter(|elsewhere| *elsewhere != asked) {
                assert_eq!(opened(&elsewhere), None, "{asked:?} {elsewhere:?}");
            }
        }
    }

    #[test]
    fn a_new_key_is_made_every_six_hours() {
        // Tickets are good for as long as two keys last: theirs, and the next one.
        assert_eq!(ticketer(None).unwrap().lifetime(), 2 * 6 * 3_600);
    }
}
