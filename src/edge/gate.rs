//! How many connections there may be: in all, and of one client. One for all workers: it is asked when a connection begins and told when it
//! ends, never by a request.
//!
//! Past a number in all, new clients wait in the kernel's queues, and idle connections end soon to make room for them
//! ([`super::watchdog`]); one client's connection too many is closed at once. Not here: the numbers (`config`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Locks among which clients are spread, so that workers seldom meet.
const SHARDS: usize = 64;

/// All connections of clients that are open.
#[derive(Debug)]
pub struct Gate {
    open: AtomicUsize,
    clients: [Mutex<HashMap<Who, usize>>; SHARDS],
}

/// Whom a connection counts for: an IPv4 address; of IPv6 a /64, which is what one household or machine has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    V4([u8; 4]),
    V6([u8; 8]),
}

/// One connection, counted in all as long as this lives.
#[derive(Debug)]
pub struct Pass(Arc<Gate>);

/// One connection, counted for its client as long as this lives.
#[derive(Debug)]
pub struct ClientPass {
    gate: Arc<Gate>,
    who: Who,
}

impl Gate {
    pub fn new() -> Arc<Gate> {
        Arc::new(Gate { open: AtomicUsize::new(0), clients: std::array::from_fn(|_| Mutex::default()) })
    }

    /// Whether there is no room for another one.
    pub fn is_full(&self, most: usize) -> bool {
        self.open.load(Ordering::Relaxed) >= most
    }

    /// Whether there soon will not be: over 90 in 100 of what may be.
    pub fn is_crowded(&self, most: usize) -> bool {
        self.open.load(Ordering::Relaxed) >= most - most / 10
    }

    /// One more, whoever's. Never refuses: whoever accepts looks first; of workers that look at once each may take one too many.
    pub fn enter(self: &Arc<Gate>) -> Pass {
        self.open.fetch_add(1, Ordering::Relaxed);
        Pass(self.clone())
    }

    fn admit(self: &Arc<Gate>, client: IpAddr, most: usize) -> Option<ClientPass> {
        let who = Who::of(client);
        let mut counts = self.shard(who).lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(who).or_insert(0);
        if *count >= most {
            return None; // what was inserted just now is 0, and `most` is at least 1
        }
        *count += 1;
        drop(counts);
        Some(ClientPass { gate: self.clone(), who })
    }

    fn shard(&self, who: Who) -> &Mutex<HashMap<Who, usize>> {
        let bytes = match &who {
            Who::V4(bytes) => &bytes[..],
            Who::V6(bytes) => &bytes[..],
        };
        let mixed = bytes.iter().fold(0usize, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        &self.clients[mixed % SHARDS]
    }
}

impl Who {
    fn of(client: IpAddr) -> Who {
        match client.to_canonical() {
            IpAddr::V4(address) => Who::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Who::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl Pass {
    /// One more of that client's. `None`: it has as many as one may have.
    pub fn admit(&self, client: IpAddr, most: usize) -> Option<ClientPass> {
        self.0.admit(client, most)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for ClientPass {
    fn drop(&mut self) {
        let mut counts = self.gate.shard(self.who).lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.who) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove(); // the table is no larger than there are connections
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_has_as_many_as_one_may_have_and_others_have_theirs() {
        let gate = Gate::new();
        let mut first: Vec<_> = (0..3).map(|_| gate.admit(ip("192.0.2.1"), 3).unwrap()).collect();
        assert!(gate.admit(ip("192.0.2.1"), 3).is_none());
        assert!(gate.admit(ip("::ffff:192.0.2.1"), 3).is_none(), "the same client, by an address of IPv6");
        let _other = gate.admit(ip("192.0.2.2"), 3).unwrap();
        first.pop();
        assert!(gate.admit(ip("192.0.2.1"), 3).is_some());
    }

    #[test]
    fn all_addresses_of_a_64_are_one_client() {
        let gate = Gate::new();
        let _one = gate.admit(ip("2001:db8:0:1::1"), 1).unwrap();
        assert!(gate.admit(ip("2001:db8:0:1:ffff::2"), 1).is_none());
        assert!(gate.admit(ip("2001:db8:0:2::1"), 1).is_some());
    }

    #[test]
    fn whoever_has_left_is_forgotten() {
        let gate = Gate::new();
        for last in 0..=255 {
            drop(gate.admit(IpAddr::from([10, 0, 0, last]), 1).unwrap());
        }
        assert!(gate.clients.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn it_is_crowded_before_it_is_full_and_empties_again() {
        let gate = Gate::new();
        let mut passes: Vec<_> = (0..17).map(|_| gate.enter()).collect();
        assert!(!gate.is_crowded(20) && !gate.is_full(20));
        passes.push(gate.enter());
        assert!(gate.is_crowded(20) && !gate.is_full(20));
        passes.extend([gate.enter(), gate.enter()]);
        assert!(gate.is_full(20));
        passes.clear();
        assert!(!gate.is_crowded(20));
    }
}
