//! Work that takes a thread far longer than a poll usually does, and of which one task may have much to do at once: a client's connection
//! of HTTP/2 runs all its streams, and each may be connecting to an endpoint.
//!
//! tokio stops a task that has moved much in one turn ([`tokio::task::coop`]: 128 pieces), and goes on with it when others had theirs. It
//! counts reads and writes of sockets, not what was made of them; so such work says by itself how much it counts for.

use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::task::coop;

/// What one poll counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// A system call that makes something: 16 of them are a turn.
    Call = 8,
    /// Public key cryptography, some 0.5 ms: five are a turn.
    Keys = 25,
}

pin_project! {
    /// A future whose polls count for more than what they read and write.
    #[derive(Debug)]
    pub struct Costly<F> {
        #[pin]
        work: F,
        cost: Cost,
    }
}

impl<F> Costly<F> {
    pub fn new(cost: Cost, work: F) -> Costly<F> {
        Costly { work, cost }
    }
}

impl<F: Future> Future for Costly<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        for _ in 0..*this.cost as u32 {
            ready!(coop::poll_proceed(cx)).made_progress();
        }
        this.work.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tasks;
    use super::*;
    use futures_util::future::join_all;
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::rc::Rc;

    #[test]
    fn of_many_that_one_task_has_to_do_few_are_done_in_a_turn_and_all_in_the_end() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
        runtime.block_on(async {
            let (done, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let (counted, in_one) = (done.clone(), most.clone());
            let each = move || {
                let counted = counted.clone();
                Costly::new(Cost::Keys, async move { counted.set(counted.get() + 1) })
            };
            let count = done.clone();
            let task = async move {
                let mut all = pin!(join_all((0..100).map(|_| each())));
                poll_fn(|cx| {
                    let before = count.get();
                    let polled = all.as_mut().poll(cx).map(drop);
                    in_one.set(in_one.get().max(count.get() - before));
                    polled
                })
                .await;
            };
            tasks::spawn(task).await.unwrap();
            assert_eq!((done.get(), most.get()), (100, 5));
        });
    }
}
