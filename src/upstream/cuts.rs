//! Ends the connections to one endpoint where they stand, so that what runs over them breaks off as if the endpoint had done it: a task
//! that is dropped would leave a body that looks whole to hyper.
//!
//! A connection costs its entry here when it is opened, and nothing for each request. Not here: when they end (`proxy::departed`), and
//! what has left HTTP, which is its tunnel's (`proxy::upgrade`).

use futures_util::task::AtomicWaker;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One endpoint's connections of one kind.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// Those that are opened now, too.
    over: Cell<bool>,
    open: RefCell<Vec<Weak<Cut>>>,
}

/// One connection's end. hyper wants what upgrades to be `Send`; all of it stays on one thread.
#[derive(Debug, Default)]
pub(super) struct Cut {
    state: AtomicU8,
    task: AtomicWaker,
}

const OPEN: u8 = 0;
const ENDED: u8 = 1;
const SPARED: u8 = 2;

impl Cuts {
    /// A connection, among those that [`Cuts::cut`] ends.
    pub(super) fn enrol<S>(&self, stream: S) -> Severable<S> {
        let cut = Arc::new(Cut::default());
        if self.over.get() {
            cut.end();
        }
        let mut open = self.open.borrow_mut();
        if open.len() == open.capacity() {
            open.retain(|cut| cut.strong_count() > 0);
        }
        open.push(Arc::downgrade(&cut));
        Severable { stream, cut, known: None }
    }

    /// Ends all, for good. How many there were.
    pub(super) fn cut(&self) -> u64 {
        self.over.set(true);
        let open = std::mem::take(&mut *self.open.borrow_mut());
        let ended = open.iter().filter_map(Weak::upgrade).filter(|cut| cut.end());
        ended.count() as u64
    }
}

impl Cut {
    /// It carries no requests any more.
    pub(super) fn spare(&self) {
        self.state.store(SPARED, Ordering::Relaxed);
    }

    fn end(&self) -> bool {
        let ended = self.state.compare_exchange(OPEN, ENDED, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if ended {
            self.task.wake();
        }
        ended
    }
}

/// A connection that can be ended from outside.
#[derive(Debug)]
pub(super) struct Severable<S> {
    stream: S,
    cut: Arc<Cut>,
    /// Whom that knows: hyper may hand a connection from one task to another, which is seldom.
    known: Option<Waker>,
}

impl<S> Severable<S> {
    pub(super) fn cut(&self) -> Arc<Cut> {
        self.cut.clone()
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.known = Some(cx.waker().clone());
            self.cut.task.register(cx.waker());
        }
        match self.cut.state.load(Ordering::Relaxed) {
            ENDED => Err(io::ErrorKind::ConnectionAborted.into()),
            _ => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Severable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Severable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(flavor = "local")]
    async fn whoever_waits_for_a_connection_that_is_cut_hears_of_it_and_one_that_left_http_goes_on() {
        let cuts = Cuts::default();
        let ((ours, mut theirs), (other, mut its)) = (duplex(64), duplex(64));
        let (mut ours, mut other) = (cuts.enrol(ours), cuts.enrol(other));
        other.cut().spare();
        let waits = crate::runtime::tasks::spawn(async move {
            let error = ours.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            assert!(ours.write_all(b"more").await.is_err());
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        assert_eq!((cuts.cut(), cuts.cut()), (1, 0));
        tokio::task::yield_now().await;
        assert!(waits.is_finished(), "it was not woken");
        waits.await.unwrap();
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
        its.write_all(b"x").await.unwrap();
        assert_eq!(other.read_u8().await.unwrap(), b'x');
        assert!(cuts.enrol(duplex(64).0).read_u8().await.is_err(), "one that comes too late");
    }

    #[test]
    fn connections_that_are_gone_take_no_room() {
        let cuts = Cuts::default();
        let stays = cuts.enrol(());
        for _ in 0..1_000 {
            drop(cuts.enrol(()));
        }
        assert!(cuts.open.borrow().capacity() <= 8, "{}", cuts.open.borrow().capacity());
        assert_eq!(cuts.cut(), 1);
        drop(stays);
    }
}
