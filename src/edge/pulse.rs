//! What a connection is doing now, noted as it happens by whoever sees it: the byte stream what was read and taken
//! ([`super::stream`]), the front where requests begin and end ([`super::front`]). Notes cost a few stores; nothing here waits.
//!
//! Not here: what is too long ([`super::watchdog`]).

use super::frames::Wrong;
use super::roster::What;
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use std::cell::Cell;
use std::rc::Rc;

/// One connection's state.
#[derive(Debug)]
pub struct Pulse {
    clock: Clock,
    protocol: Cell<Protocol>,
    phase: Cell<Phase>,
    /// Requests that were begun and whose response has not ended.
    running: Cell<u32>,
    /// Tunnels that were begun and have not ended. Those in a stream of HTTP/2 are among what runs, one that has a connection of
    /// HTTP/1.1 is not.
    tunnels: Cell<u32>,
    /// Responses whose next piece waits for the client to take what it was given.
    owed: Cell<u32>,
    /// The last request has a body. It may be read on when its response has ended.
    body: Cell<bool>,
    /// The socket takes no more for now.
    blocked: Cell<bool>,
    /// Changes with each sign of life in sending, and when a wait for the client begins. Wraps.
    progress: Cell<u32>,
    /// Bytes that the socket took since somebody asked.
    taken: Cell<u64>,
    /// The client has sent anything at all.
    spoken: Cell<bool>,
    /// The client has closed its side.
    ended: Cell<bool>,
    /// What the client sends is no HTTP to go on with.
    wrong: Cell<Option<Wrong>>,
    /// Closing must look like an error: a clean end would pass for the end of a body.
    reset: Cell<bool>,
    /// The client speaks HTTP/1.0, where the end of the connection may be the end of the body.
    end_means_complete: Cell<bool>,
}

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The rest of the TLS handshake.
    Handshake { since: Moment },
    /// The first byte of its first request.
    Fresh { since: Moment },
    /// The rest of a request's head (HTTP/1.1; over HTTP/2 heads of many requests may be on their way).
    Head { since: Moment },
    /// Requests are running.
    Busy,
    /// The next request.
    Idle { since: Moment },
}

impl Pulse {
    pub fn new(clock: Clock) -> Pulse {
        Pulse {
            clock,
            protocol: Cell::new(Protocol::Http1),
            phase: Cell::new(Phase::Fresh { since: clock.now() }),
            running: Cell::new(0),
            tunnels: Cell::new(0),
            owed: Cell::new(0),
            body: Cell::new(false),
            blocked: Cell::new(false),
            progress: Cell::new(0),
            taken: Cell::new(0),
            spoken: Cell::new(false),
            ended: Cell::new(false),
            wrong: Cell::new(None),
            reset: Cell::new(false),
            end_means_complete: Cell::new(false),
        }
    }

    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    pub fn clock(&self) -> Clock {
        self.clock
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    pub fn speaks(&self, protocol: Protocol) {
        self.protocol.set(protocol);
    }

    pub fn shakes_hands(&self) {
        self.phase.set(Phase::Handshake { since: self.now() });
    }

    /// The handshake is over: the client's first request is awaited from now on.
    pub fn shook_hands(&self) {
        self.phase.set(Phase::Fresh { since: self.now() });
    }

    /// Bytes came over the wire, HTTP or not.
    pub fn spoke(&self) {
        self.spoken.set(true);
    }

    /// Those bytes were its proxy's, not the client's.
    pub fn was_introduced(&self) {
        self.spoken.set(false);
    }

    pub fn has_spoken(&self) -> bool {
        self.spoken.get()
    }

    /// Bytes of HTTP came from the client.
    pub fn received(&self) {
        if self.protocol.get() == Protocol::Http2 {
            return; // not every frame is a request, and a ping must not keep an idle connection
        }
        match self.phase.get() {
            Phase::Fresh { since } => self.phase.set(Phase::Head { since }),
            Phase::Idle { .. } => self.phase.set(Phase::Head { since: self.now() }),
            Phase::Handshake { .. } | Phase::Head { .. } | Phase::Busy => {}
        }
    }

    /// The client closed its side.
    pub fn end(&self) {
        self.ended.set(true);
    }

    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Its frames are wrong: it is to be ended.
    pub fn goes_wrong(&self, wrong: Wrong) {
        self.wrong.set(Some(wrong));
    }

    pub fn wrong(&self) -> Option<Wrong> {
        self.wrong.get()
    }

    /// The request of HTTP/1.1 that was begun has a body.
    pub fn body_follows(&self) {
        self.body.set(true);
    }

    /// Whether something of a request may be to come though its response has ended.
    pub fn may_read_body(&self) -> bool {
        self.body.get()
    }

    /// The socket took so many bytes of what we send.
    pub fn took(&self, bytes: usize) {
        self.blocked.set(false);
        self.taken.set(self.taken.get().saturating_add(bytes as u64));
        self.moved();
    }

    /// How many bytes the socket took since this was last asked.
    pub fn take_taken(&self) -> u64 {
        self.taken.take()
    }

    /// The socket takes no more for now.
    pub fn block(&self) {
        if !self.blocked.replace(true) {
            self.moved();
        }
    }

    /// Whether the client is behind in taking what we send.
    pub fn is_owed(&self) -> bool {
        self.blocked.get() || self.owed.get() > 0
    }

    pub fn progress(&self) -> u32 {
        self.progress.get()
    }

    fn moved(&self) {
        self.progress.set(self.progress.get().wrapping_add(1));
    }

    /// The client still takes the last response: it is not idle before it has it.
    pub fn still_taking(&self) {
        if let Phase::Idle { .. } = self.phase.get() {
            self.phase.set(Phase::Idle { since: self.now() });
        }
    }

    /// Whether it carries a tunnel.
    pub fn has_tunnels(&self) -> bool {
        self.tunnels.get() > 0
    }

    /// Whether it carries anything but tunnels, or may.
    pub fn has_requests(&self) -> bool {
        !self.has_tunnels() || self.runs(What::Requests)
    }

    /// Whether any of these has begun and not ended.
    pub fn runs(&self, what: What) -> bool {
        match what {
            What::Requests => self.running.get() > self.tunnels.get(),
            What::Tunnels => self.has_tunnels(),
        }
    }

    /// Makes closing this connection a reset.
    pub fn spoil(&self) {
        self.reset.set(true);
    }

    /// Whether closing must be a reset.
    pub fn is_spoilt(&self) -> bool {
        self.reset.get() || self.end_means_complete.get() && self.running.get() > 0
    }
}

/// One request, from its head read until its response has ended or was dropped.
#[derive(Debug)]
pub struct Running {
    pulse: Rc<Pulse>,
    owed: bool,
}

impl Running {
    pub fn begin(pulse: &Rc<Pulse>, version: http::Version) -> Running {
        pulse.running.set(pulse.running.get() + 1);
        pulse.phase.set(Phase::Busy);
        pulse.body.set(false);
        pulse.end_means_complete.set(version < http::Version::HTTP_11);
        Running { pulse: pulse.clone(), owed: false }
    }

    pub fn protocol(&self) -> Protocol {
        self.pulse.protocol()
    }

    /// It has become a tunnel, and runs on.
    pub fn tunnels(&self) -> Tunnelling {
        Tunnelling::begin(&self.pulse)
    }

    /// The client was given a piece of the response; the next one is asked for when it has taken this.
    pub fn clients_turn(&mut self) {
        if !std::mem::replace(&mut self.owed, true) {
            self.pulse.owed.set(self.pulse.owed.get() + 1);
            self.pulse.moved();
        }
    }

    /// The client has taken enough: the next piece of the response is awaited.
    pub fn our_turn(&mut self) {
        if std::mem::replace(&mut self.owed, false) {
            self.pulse.owed.set(self.pulse.owed.get() - 1);
            self.pulse.moved();
        }
    }

    /// The response ends before its end.
    pub fn cut(&self) {
        if self.pulse.end_means_complete.get() {
            self.pulse.spoil();
        }
    }
}

/// One tunnel, until it has ended.
#[derive(Debug)]
pub struct Tunnelling(Rc<Pulse>);

impl Tunnelling {
    pub fn begin(pulse: &Rc<Pulse>) -> Tunnelling {
        pulse.tunnels.set(pulse.tunnels.get() + 1);
        Tunnelling(pulse.clone())
    }
}

impl Drop for Tunnelling {
    fn drop(&mut self) {
        self.0.tunnels.set(self.0.tunnels.get() - 1);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.our_turn();
        let running = self.pulse.running.get() - 1;
        self.pulse.running.set(running);
        if running == 0 {
            self.pulse.phase.set(Phase::Idle { since: self.pulse.now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Version;

    fn pulse(protocol: Protocol) -> Rc<Pulse> {
        let pulse = Pulse::new(Clock::start());
        pulse.speaks(protocol);
        Rc::new(pulse)
    }

    #[test]
    fn a_connection_is_fresh_then_reads_a_head_then_is_busy_until_the_last_response_ends() {
        let pulse = pulse(Protocol::Http1);
        assert!(matches!(pulse.phase(), Phase::Fresh { .. }));
        pulse.received();
        assert!(matches!(pulse.phase(), Phase::Head { .. }));
        let (one, two) = (Running::begin(&pulse, Version::HTTP_11), Running::begin(&pulse, Version::HTTP_11));
        pulse.received();
        drop(one);
        assert_eq!(pulse.phase(), Phase::Busy);
        drop(two);
        assert!(matches!(pulse.phase(), Phase::Idle { .. }));
    }

    #[test]
    fn the_first_head_is_timed_from_the_start_and_frames_are_not_heads() {
        let http1 = pulse(Protocol::Http1);
        let Phase::Fresh { since } = http1.phase() else { panic!("not fresh") };
        http1.received();
        assert_eq!(http1.phase(), Phase::Head { since });
        let http2 = pulse(Protocol::Http2);
        http2.received();
        assert!(matches!(http2.phase(), Phase::Fresh { .. }));
    }

    #[test]
    fn the_client_is_behind_while_it_was_given_a_piece_or_the_socket_is_full() {
        let pulse = pulse(Protocol::Http1);
        let mut running = Running::begin(&pulse, Version::HTTP_11);
        assert!(!pulse.is_owed());
        running.clients_turn();
        assert!(pulse.is_owed());
        let before = pulse.progress();
        running.our_turn();
        assert!(!pulse.is_owed() && pulse.progress() != before);
        running.clients_turn();
        drop(running);
        assert!(!pulse.is_owed());
        pulse.block();
        assert!(pulse.is_owed());
        pulse.took(1);
        assert!(!pulse.is_owed());
    }

    #[test]
    fn a_connection_that_carries_a_tunnel_alone_carries_no_request() {
        let pulse = pulse(Protocol::Http2);
        assert!(pulse.has_requests() && !pulse.has_tunnels(), "one may be about to come");
        let (stream, other) = (Running::begin(&pulse, Version::HTTP_2), Running::begin(&pulse, Version::HTTP_2));
        let tunnel = stream.tunnels();
        assert!(pulse.has_requests() && pulse.has_tunnels());
        drop(other);
        assert!(!pulse.has_requests());
        drop((tunnel, stream));
        assert!(!pulse.has_tunnels());
    }

    #[test]
    fn only_where_the_end_of_a_connection_may_be_the_end_of_a_body_it_ends_by_reset() {
        for (version, spoilt) in [(Version::HTTP_10, true), (Version::HTTP_11, false)] {
            let pulse = pulse(Protocol::Http1);
            let running = Running::begin(&pulse, version);
            assert_eq!(pulse.is_spoilt(), spoilt, "while it runs, {version:?}");
            drop(running);
            assert!(!pulse.is_spoilt(), "after its end, {version:?}");
            Running::begin(&pulse, version).cut();
            assert_eq!(pulse.is_spoilt(), spoilt, "after a cut, {version:?}");
        }
    }
}
