//! The signals that mean something to us, as a stream. None of them does its default action, which would end the process.
//!
//! Not here: what follows from one (`app`).

use std::io;
use tokio::signal::unix::{self, SignalKind};

/// What somebody asked the process to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the configuration again.
    Hangup,
    /// SIGTERM: drain, then end; a second time: end now.
    Terminate,
    /// SIGINT, mostly Ctrl-C: as SIGTERM.
    Interrupt,
}

/// The stream of them. From [`Signals::listen`] on no signal is lost but repeated ones of one kind may come as one.
#[derive(Debug)]
pub struct Signals {
    hangup: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
}

impl Signals {
    /// Takes over the signals of the whole process. Needs a runtime, and to be called before other threads start.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            hangup: unix::signal(SignalKind::hangup())?,
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            user1: unix::signal(SignalKind::user_defined1())?,
            user2: unix::signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for one that asks to end; the others wait for [`Signals::next`].
    pub async fn end(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            else => std::future::pending().await, // tokio's signal driver lives as long as its runtime
        }
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        loop {
            let ignored = tokio::select! {
                Some(()) = self.hangup.recv() => return Signal::Hangup,
                Some(()) = self.terminate.recv() => return Signal::Terminate,
                Some(()) = self.interrupt.recv() => return Signal::Interrupt,
                Some(()) = self.user1.recv() => "SIGUSR1",
                Some(()) = self.user2.recv() => "SIGUSR2",
                else => std::future::pending().await, // tokio's signal driver lives as long as its runtime
            };
            tracing::info!(signal = ignored, "signal ignored: it has no meaning here");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal as Raw, getpid, kill_process};

    #[test]
    fn signals_arrive_as_values_and_none_ends_the_process() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        runtime.unwrap().block_on(async {
            let mut signals = Signals::listen().unwrap();
            for ignored in [Raw::USR1, Raw::USR2] {
                kill_process(getpid(), ignored).unwrap();
            }
            for (raw, expected) in
                [(Raw::HUP, Signal::Hangup), (Raw::TERM, Signal::Terminate), (Raw::INT, Signal::Interrupt)]
            {
                kill_process(getpid(), raw).unwrap();
                let next = tokio::time::timeout(std::time::Duration::from_secs(10), signals.next());
                assert_eq!(next.await.unwrap(), expected);
            }
            kill_process(getpid(), Raw::HUP).unwrap();
            kill_process(getpid(), Raw::TERM).unwrap();
            assert_eq!(signals.end().await, Signal::Terminate);
            assert_eq!(signals.next().await, Signal::Hangup, "it has waited");
        });
    }
}
