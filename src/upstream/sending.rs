//! A request's body on its way to an endpoint over a stream of HTTP/2, as the endpoint has room for it.
//!
//! Always true: it goes on no longer than its exchange. When the response has ended, or nobody wants that any more, what is left of
//! the body is dropped, and the stream is reset, whatever the endpoint does: one that answers early may never read the rest.
//!
//! Not here: what is known of the body ([`super::upload`]), the head (`http2`).

use super::shared::{Carrier, Stream};
use super::upload::{Upload, UploadFailed};
use crate::runtime::tasks;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::task::AbortHandle;

/// One body; dropped, it is over.
pub(super) struct Uploading {
    sending: Rc<RefCell<Sending>>,
    /// Who goes on with it when nobody waits for a head any more.
    task: Option<AbortHandle>,
}

struct Sending {
    to: SendStream<Bytes>,
    carrier: Rc<Carrier>,
    /// Open for as long as this is.
    _stream: Rc<Stream>,
    /// `None`: all of it was handed over, or nobody wants it.
    body: Option<Pin<Box<Upload>>>,
    /// What the endpoint has no room for yet. The next piece is not asked for before it has this.
    piece: Option<Piece>,
    room: Room,
}

struct Piece {
    bytes: Bytes,
    then: Then,
}

/// What follows a piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    More,
    End,
}

/// Whether the endpoint has room for what is to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    Awaited,
}

/// The stream is over; its response says why.
struct Over;

impl From<h2::Error> for Over {
    fn from(_: h2::Error) -> Over {
        Over
    }
}

impl fmt::Debug for Uploading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploading").finish_non_exhaustive()
    }
}

impl Uploading {
    pub(super) fn new(to: SendStream<Bytes>, body: Upload, carrier: Rc<Carrier>, stream: Rc<Stream>) -> Uploading {
        let body = Some(Box::pin(body));
        let sending = Sending { to, carrier, _stream: stream, body, piece: None, room: Room::Enough };
        Uploading { sending: Rc::new(RefCell::new(sending)), task: None }
    }

    /// Sends what there is and is room for.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sending.borrow_mut().poll(cx)
    }

    /// The response has begun: the rest goes on beside it, also while nobody reads that.
    pub(super) fn go_on(&mut self) {
        if self.sending.borrow().body.is_none() {
            return;
        }
        let sending = self.sending.clone();
        let task = tasks::spawn(poll_fn(move |cx| sending.borrow_mut().poll(cx)));
        self.task = Some(task.abort_handle());
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        let mut sending = self.sending.borrow_mut();
        // All that was handed over had room, and leaves by itself.
        if sending.body.is_some() {
            sending.drop_body();
            sending.to.send_reset(Reason::CANCEL);
        }
    }
}

impl Sending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.poll_body(cx);
        if polled.is_ready() {
            self.drop_body();
        }
        polled.map(|_| ())
    }

    fn drop_body(&mut self) {
        self.body = None;
        self.piece = None;
        self.is(Room::Enough);
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        loop {
            if ready!(self.poll_piece(cx))? == Then::End {
                return Poll::Ready(Ok(()));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
            match body.as_mut().poll_frame(cx) {
                Poll::Pending => return self.to.poll_reset(cx).map(|_| Err(Over)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => {
                        let then = if body.is_end_stream() { Then::End } else { Then::More };
                        // At once, so that nobody's window is kept for what is not there.
                        self.to.reserve_capacity(bytes.len());
                        self.piece = Some(Piece { bytes, then });
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.to.send_trailers(trailers)?;
                            return Poll::Ready(Ok(()));
                        }
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    self.to.send_reset(reason(&error));
                    return Poll::Ready(Err(Over));
                }
                Poll::Ready(None) => {
                    self.to.send_data(Bytes::new(), true)?;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Hands over as much of the piece as there is room for, until it is all gone.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Then, Over>> {
        while let Some(Piece { bytes, then }) = &mut self.piece {
            let room = self.to.capacity();
            if room >= bytes.len() {
                let then = *then;
                self.to.send_data(std::mem::take(bytes), then == Then::End)?;
                self.piece = None;
                self.moved();
                return Poll::Ready(Ok(then));
            }
            if room > 0 {
                self.to.send_data(bytes.split_to(room), false)?;
                self.to.reserve_capacity(bytes.len());
                self.moved();
                continue;
            }
            match self.to.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => (), // which may be none
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Over)),
                Poll::Pending => {
                    self.is(Room::Awaited);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(Then::More))
    }

    fn moved(&mut self) {
        self.is(Room::Enough);
        self.carrier.uploads.moved(self.carrier.pulse.clock.now());
    }

    fn is(&mut self, room: Room) {
        let uploads = &self.carrier.uploads;
        match (std::mem::replace(&mut self.room, room), room) {
            (Room::Enough, Room::Awaited) => uploads.begin_to_wait(self.carrier.pulse.clock.now()),
            (Room::Awaited, Room::Enough) => uploads.end_to_wait(),
            (Room::Enough, Room::Enough) | (Room::Awaited, Room::Awaited) => (),
        }
    }
}

/// What the stream is reset with when the client's body breaks off.
fn reason(error: &UploadFailed) -> Reason {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.and_then(h2::Error::reason).unwrap_or(Reason::CANCEL)
}
