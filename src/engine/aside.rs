//! A change that is made beside the others, since they need not wait for it.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::time::sleep;

use super::input::Halted;

/// How long one that may be broken off still gets when all has to end.
const PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(20);

/// What is under way, for progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InHand {
    /// No change.
    Nothing,
    /// The change with this place in the plan.
    Change(usize),
    /// One that is made beside the one that is told of.
    Aside,
}

/// What is under way now, shared between who works and who tells.
pub(super) type Hand = Rc<Cell<InHand>>;

/// At most one change beside the others.
pub(super) struct Aside<'a> {
    hand: &'a Hand,
    change: Option<Beside<'a>>,
}

struct Beside<'a> {
    index: usize,
    is_breakable: bool,
    since: Instant,
    work: LocalBoxFuture<'a, Result<()>>,
    made: Option<Result<()>>,
}

impl<'a> Aside<'a> {
    /// None yet.
    pub(super) fn none(hand: &'a Hand) -> Self {
        Self { hand, change: None }
    }

    /// Begins one; it goes on while [`Self::beside`] does something else. One that is not breakable is
    /// always waited for.
    pub(super) fn begin(
        &mut self,
        index: usize,
        is_breakable: bool,
        work: impl Future<Output = Result<()>> + 'a,
    ) {
        let (since, work) = (Instant::now(), work.boxed_local());
        self.change = Some(Beside { index, is_breakable, since, work, made: None });
    }

    /// Its place in the plan, if there is one.
    pub(super) fn index(&self) -> Option<usize> {
        self.change.as_ref().map(|change| change.index)
    }

    /// When it began.
    pub(super) fn since(&self) -> Option<Instant> {
        self.change.as_ref().map(|change| change.since)
    }

    /// Does other work, and this beside it.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let Self { hand, change } = self;
        poll_fn(|context| {
            if let Some(Beside { work, made: made @ None, .. }) = change {
                let told = hand.replace(InHand::Aside);
                if let Poll::Ready(result) = work.poll_unpin(context) {
                    *made = Some(result);
                }
                hand.set(told);
            }
            work.as_mut().poll(context)
        })
        .await
    }

    /// Waits until it is made: its turn has come.
    pub(super) async fn finish(&mut self) -> Result<()> {
        let Some(Beside { work, made, .. }) = self.change.take() else { return Ok(()) };
        match made {
            Some(result) => result,
            None => work.await,
        }
    }

    /// Lets it end: an undo that comes before it would miss it. One that is breakable is not waited for
    /// long once all has to end. Its place, if it was made; an error, if it failed.
    pub(super) async fn end(&mut self, halted: &Halted) -> Result<Option<usize>> {
        let mut left = PATIENCE;
        while let Some(Beside { index, is_breakable, made: None, .. }) = &self.change {
            let (index, is_breakable) = (*index, *is_breakable);
            if !is_breakable {
                // Who waits for it wants to know how far it is.
                self.hand.set(InHand::Change(index));
                return self.finish().await.map(|()| Some(index));
            }
            if left.is_zero() {
                break;
            }
            self.beside(sleep(TICK)).await;
            if halted.get().is_some() {
                left = left.saturating_sub(TICK);
            }
        }
        match self.change.take() {
            Some(Beside { index, made: Some(made), .. }) => made.map(|()| Some(index)),
            _ => Ok(None),
        }
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
    async fn it_goes_on_beside_other_work_and_is_hushed_meanwhile() {
        let (hand, seen) = (hand(), Cell::new(None));
        let mut aside = Aside::none(&hand);
        aside.begin(3, true, async {
            sleep(Duration::from_millis(5)).await;
            seen.set(Some(hand.get()));
            Err(anyhow!("no such image"))
        });
        assert!(aside.index() == Some(3) && seen.get().is_none());
        aside.beside(sleep(Duration::from_secs(2))).await;
        assert_eq!((seen.get(), hand.get()), (Some(InHand::Aside), InHand::Change(0)));
        assert_eq!(aside.finish().await.unwrap_err().to_string(), "no such image");
    }

    #[tokio::test]
    async fn at_its_turn_it_is_waited_for() {
        let (hand, seen) = (hand(), Cell::new(None));
        let mut aside = Aside::none(&hand);
        aside.begin(3, true, async {
            sleep(Duration::from_millis(5)).await;
            seen.set(Some(hand.get()));
            Ok(())
        });
        aside.finish().await.unwrap();
        assert_eq!(seen.get(), Some(InHand::Change(0)));
        assert_eq!(aside.end(&Halted::default()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn at_the_end_it_is_whole() {
        let hand = hand();
        let mut aside = Aside::none(&hand);
        aside.begin(3, true, async {
            sleep(Duration::from_millis(60)).await;
            Ok(())
        });
        assert_eq!(aside.end(&Halted::default()).await.unwrap(), Some(3));
        aside.begin(4, true, async { Err(anyhow!("no such image")) });
        assert!(aside.end(&Halted::default()).await.is_err());
    }
}
