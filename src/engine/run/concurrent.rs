//! Changes that are made beside the others, since these need not wait for them.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::time::sleep;

use crate::engine::protocol::input::Halted;

/// How long one that may be broken off still gets when all has to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether what is waited for is there.
pub(in crate::engine) const TICK: Duration = Duration::from_millis(10);

/// What is under way, for progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum InHand {
    /// No change.
    Nothing,
    /// The change with this place in the plan.
    Change(usize),
    /// One that is made beside the one that is told of.
    Concurrent,
}

/// What is under way now, shared between the task that works and the one that reports.
pub(in crate::engine) type Hand = Rc<Cell<InHand>>;

/// Changes that are made beside the others.
pub(in crate::engine) struct Concurrent<'a> {
    hand: &'a Hand,
    changes: Vec<Beside<'a>>,
}

struct Beside<'a> {
    index: usize,
    is_breakable: bool,
    since: Instant,
    work: LocalBoxFuture<'a, Result<()>>,
    made: Option<Made>,
}

/// What became of one, and how long it took.
pub(in crate::engine) struct Made {
    pub(in crate::engine) result: Result<()>,
    pub(in crate::engine) took: Duration,
}

impl<'a> Concurrent<'a> {
    /// None yet.
    pub(in crate::engine) fn none(hand: &'a Hand) -> Self {
        Self { hand, changes: Vec::new() }
    }

    /// Begins one; it goes on while [`Self::beside`] does something else. One that is not breakable is
    /// always waited for.
    pub(in crate::engine) fn begin(
        &mut self,
        index: usize,
        is_breakable: bool,
        work: impl Future<Output = Result<()>> + 'a,
    ) {
        let (since, work) = (Instant::now(), work.boxed_local());
        self.changes.push(Beside { index, is_breakable, since, work, made: None });
    }

    /// Whether the change with this place in the plan was begun here and not finished.
    pub(in crate::engine) fn has(&self, index: usize) -> bool {
        self.changes.iter().any(|change| change.index == index)
    }

    /// Whether it is made, or has failed.
    pub(in crate::engine) fn is_made(&self, index: usize) -> bool {
        self.changes.iter().any(|change| change.index == index && change.made.is_some())
    }

    /// The place of one that is not finished, if there is one.
    pub(in crate::engine) fn first(&self) -> Option<usize> {
        self.changes.first().map(|change| change.index)
    }

    /// Does other work, and these beside it.
    pub(in crate::engine) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.poll(context);
            work.as_mut().poll(context)
        })
        .await
    }

    /// Each goes on. Only one that is in hand reports its progress.
    fn poll(&mut self, context: &mut Context<'_>) {
        for Beside { index, since, work, made, .. } in &mut self.changes {
            let told = self.hand.get();
            if told != InHand::Change(*index) {
                self.hand.set(InHand::Concurrent);
            }
            if made.is_none()
                && let Poll::Ready(result) = work.poll_unpin(context)
            {
                *made = Some(Made { result, took: since.elapsed() });
            }
            self.hand.set(told);
        }
    }

    /// Waits until it is made: its turn has come.
    pub(in crate::engine) async fn finish(&mut self, index: usize) -> Option<Made> {
        self.hand.set(InHand::Change(index));
        poll_fn(|context| {
            self.poll(context);
            match self.has(index) && !self.is_made(index) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
        let place = self.changes.iter().position(|change| change.index == index)?;
        self.changes.remove(place).made
    }

    /// Lets all end: an undo that comes before would miss them. Those that are breakable are not waited
    /// for long once all has to end. What became of the others, by their places.
    pub(in crate::engine) async fn end(&mut self, halted: &Halted) -> Vec<(usize, Made)> {
        let mut left = PATIENCE;
        while let Some(open) = self.changes.iter().find(|change| change.made.is_none()) {
            if !open.is_breakable {
                // Who waits for it wants to know how far it is.
                self.hand.set(InHand::Change(open.index));
            } else if left.is_zero() {
                break;
            }
            self.beside(sleep(TICK)).await;
            if halted.get().is_some() {
                left = left.saturating_sub(TICK);
            }
        }
        self.changes.drain(..).filter_map(|change| Some((change.index, change.made?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn hand() -> Hand {
        Rc::new(Cell::new(InHand::Change(0)))
    }

    #[tokio::test]
    async fn they_go_on_beside_other_work_and_are_hushed_meanwhile() {
        let (hand, seen) = (hand(), Cell::new(None));
        let mut concurrent = Concurrent::none(&hand);
        concurrent.begin(3, true, async {
            sleep(Duration::from_millis(5)).await;
            seen.set(Some(hand.get()));
            Err(anyhow!("no such image"))
        });
        concurrent.begin(4, true, async { Ok(()) });
        assert!(concurrent.first() == Some(3) && seen.get().is_none());
        concurrent.beside(sleep(Duration::from_secs(1))).await;
        assert_eq!((seen.get(), hand.get()), (Some(InHand::Concurrent), InHand::Change(0)));
        assert!(concurrent.is_made(3) && concurrent.is_made(4));
        let made = concurrent.finish(3).await.unwrap();
        assert_eq!(made.result.unwrap_err().to_string(), "no such image");
        assert!(made.took < Duration::from_millis(900), "the time that it took itself");
        assert!(!concurrent.has(3) && concurrent.first() == Some(4));
    }

    #[tokio::test]
    async fn at_its_turn_one_is_waited_for() {
        let (hand, seen) = (hand(), Cell::new(None));
        let mut concurrent = Concurrent::none(&hand);
        concurrent.begin(3, true, async {
            sleep(Duration::from_millis(5)).await;
            seen.set(Some(hand.get()));
            Ok(())
        });
        concurrent.finish(3).await.unwrap().result.unwrap();
        assert_eq!(seen.get(), Some(InHand::Change(3)));
        assert!(concurrent.finish(3).await.is_none());
        assert!(concurrent.end(&Halted::default()).await.is_empty());
    }

    #[tokio::test]
    async fn at_the_end_all_are_whole() {
        let hand = hand();
        let mut concurrent = Concurrent::none(&hand);
        for index in [3, 5] {
            concurrent.begin(index, index == 3, async {
                sleep(Duration::from_millis(60)).await;
                Ok(())
            });
        }
        concurrent.begin(4, true, async { Err(anyhow!("no such image")) });
        let made = concurrent.end(&Halted::default()).await;
        let made: Vec<_> = made.iter().map(|(index, made)| (*index, made.result.is_ok())).collect();
        assert_eq!(made, [(3, true), (5, true), (4, false)]);
    }
}
