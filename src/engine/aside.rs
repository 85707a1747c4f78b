//! A change that is made beside the others: it needs none of them, and takes longer than each.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::time::sleep;

use super::input::Halted;

/// How long it may still take when all has to end.
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
    work: LocalBoxFuture<'a, Result<()>>,
    made: Option<Result<()>>,
}

impl<'a> Aside<'a> {
    /// None yet.
    pub(super) fn none(hand: &'a Hand) -> Self {
        Self { hand, change: None }
    }

    /// Begins one; it goes on while [`Self::beside`] does something else.
    pub(super) fn begin(&mut self, index: usize, work: impl Future<Output = Result<()>> + 'a) {
        self.change = Some(Beside { index, work: work.boxed_local(), made: None });
    }

    /// Whether it is the change with this place in the plan.
    pub(super) fn is_of(&self, index: usize) -> bool {
        self.change.as_ref().is_some_and(|change| change.index == index)
    }

    /// Whether the change with this place in the plan was made here.
    pub(super) fn is_made(&self, index: usize) -> bool {
        self.is_of(index) && self.change.as_ref().is_some_and(|c| matches!(c.made, Some(Ok(()))))
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

    /// Lets it end: an undo that comes before it would miss it. It is not waited for long once all has
    /// to end.
    pub(super) async fn end(&mut self, halted: &Halted) {
        let mut left = PATIENCE;
        while !left.is_zero() && self.change.as_ref().is_some_and(|change| change.made.is_none()) {
            self.beside(sleep(TICK)).await;
            if halted.get().is_some() {
                left = left.saturating_sub(TICK);
            }
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
        aside.begin(3, async {
            sleep(Duration::from_millis(5)).await;
            seen.set(Some(hand.get()));
            Err(anyhow!("no such image"))
        });
        assert!(aside.is_of(3) && !aside.is_of(2) && seen.get().is_none());
        aside.beside(sleep(Duration::from_secs(2))).await;
        assert_eq!((seen.get(), hand.get()), (Some(InHand::Aside), InHand::Change(0)));
        assert!(!aside.is_made(3));
        assert_eq!(aside.finish().await.unwrap_err().to_string(), "no such image");
    }

    #[tokio::test]
    async fn at_its_turn_it_is_waited_for() {
        let (hand, seen) = (hand(), Cell::new(None));
        let mut aside = Aside::none(&hand);
        aside.begin(3, async {
            sleep(Duration::from_millis(5)).await;
            seen.set(Some(hand.get()));
            Ok(())
        });
        aside.finish().await.unwrap();
        assert_eq!(seen.get(), Some(InHand::Change(0)));
        aside.end(&Halted::default()).await;
    }

    #[tokio::test]
    async fn at_the_end_it_is_whole() {
        let hand = hand();
        let mut aside = Aside::none(&hand);
        aside.begin(3, async {
            sleep(Duration::from_millis(60)).await;
            Ok(())
        });
        aside.end(&Halted::default()).await;
        assert!(aside.is_made(3) && !aside.is_made(2));
    }
}
