//! Rolling: web hosts behind balancers are changed one after the other, and get no work meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::cli::HostArgs;
use crate::command::fleet::hosts::Work;
use crate::engine::protocol::{Turn, TurnRequest, Turned};
use crate::event::EventKind;
use crate::failure::{Exit, Failure};
use crate::remote::{Emit, Engine, interrupt};
use crate::spec::PartSpec;

/// How long the connections of a host may take to end, in seconds. nginx ends each within 10.
const AWAY_S: u64 = 15;
/// How long a host may take until its check succeeds again, in seconds.
const BACK_S: u64 = 30;
/// The part that gives work to web hosts.
const BALANCER: &str = "balancer";

/// The hosts of a verb as they take turns.
#[derive(Debug)]
pub(super) struct Roll {
    /// So many hosts get no work at once.
    turns: Semaphore,
    failures: AtomicUsize,
    /// With how many failures no further host has its turn.
    max_failures: usize,
}

/// The turn of a host. Until [`Self::end`], the balancers that could be reached give it no work.
struct OwnTurn<'a> {
    roll: &'a Roll,
    host: &'a str,
    away: Vec<Balancer>,
    /// None for a host that gets no work anyway: it holds up no other.
    permit: Option<SemaphorePermit<'a>>,
}

/// A balancer that gives a host no work since this session. Should the session end, it gives work again by itself.
struct Balancer {
    name: String,
    engine: Engine,
    part: PartSpec,
}

/// What a host has left at a balancer.
enum Left {
    /// Its work, until the session with this balancer gives it back.
    Work(Box<Balancer>),
    /// Nothing, since the balancer sent it no connections before.
    NoWork,
    /// Nothing, since no other host can do its work.
    OnlyOne,
}

/// Changes a host when its turn comes. A host that no balancer gives work to, or on which nothing `is_due`, waits for nobody,
/// and nobody for it. None where too many others have failed before.
pub(super) async fn in_turn<T>(
    work: &Work,
    is_due: bool,
    change: impl Future<Output = Result<T, Failure>>,
    emit: Emit<'_>,
) -> Result<Option<T>, Failure> {
    if !is_due || work.balancers.is_empty() {
        return change.await.map(Some);
    }
    let Some(turn) = Box::pin(work.roll.begin(work, emit)).await? else { return Ok(None) };
    let changed = change.await;
    let back = Box::pin(turn.end(changed.is_err(), emit)).await;
    let changed = changed?;
    back.map(|()| Some(changed))
}

impl Roll {
    pub(super) fn new(args: &HostArgs) -> Self {
        // With `--serial`, hosts of one batch are under way at once, and no others.
        let at_once = if args.serial.is_some() { Semaphore::MAX_PERMITS } else { 1 };
        let (turns, failures) = (Semaphore::new(at_once), AtomicUsize::new(0));
        Self { turns, failures, max_failures: args.max_failures.unwrap_or(0) }
    }

    /// Waits for the turn of a host, and has its balancers give it no work.
    async fn begin<'a>(
        &'a self,
        work: &'a Work,
        emit: Emit<'_>,
    ) -> Result<Option<OwnTurn<'a>>, Failure> {
        let host = &work.target.name;
        emit(step("waiting for its turn".to_owned()));
        let over = |_| Failure::new(Exit::Failed, "the run is over");
        let permit = async { self.turns.acquire().await.map_err(over) };
        let permit = interrupt::or_stopped(permit).await?;
        if self.failures.load(Ordering::Relaxed) > self.max_failures {
            return Ok(None);
        }
        let mut turn = OwnTurn { roll: self, host, away: Vec::new(), permit: Some(permit) };
        let mut has_work = false;
        for balancer in &work.balancers {
            has_work |= turn.leave(balancer, emit).await;
        }
        turn.permit = turn.permit.filter(|_| has_work);
        Ok(Some(turn))
    }
}

impl OwnTurn<'_> {
    /// Has a balancer give the host no work, and tells whether it may have given it some. A balancer that cannot be reached
    /// fails nothing: it may be down.
    async fn leave(&mut self, balancer: &Work, emit: Emit<'_>) -> bool {
        let name = &balancer.target.name;
        let message = match self.left(balancer, emit).await {
            Ok(Left::NoWork) => return false,
            Ok(Left::Work(balancer)) => {
                self.away.push(*balancer);
                return true;
            }
            Ok(Left::OnlyOne) => format!(
                "balancer `{name}` has no other healthy web host, so this host keeps receiving requests during the run"
            ),
            Err(failure) => {
                format!(
                    "balancer `{name}` keeps sending requests to this host during the run, because it could not be taken out of rotation: {}",
                    failure.what
                )
            }
        };
        emit(EventKind::Warning { message });
        true
    }

    async fn left(&self, balancer: &Work, emit: Emit<'_>) -> Result<Left, Failure> {
        let name = balancer.target.name.clone();
        let part = balancer.part(BALANCER)?;
        let mut engine = Engine::start(&balancer.target, emit).await?;
        emit(step(format!("`{name}` gives this host no more work")));
        let left = match engine.turn(self.asked(&part, Turn::Away, AWAY_S), emit).await? {
            Turned::Away { left } => {
                let message = format!(
                    "{left} connections through balancer `{name}` were still open when the wait ended; the run goes on"
                );
                if left > 0 {
                    emit(EventKind::Warning { message });
                }
                return Ok(Left::Work(Box::new(Balancer { name, engine, part })));
            }
            Turned::IsOnlyOne => Left::OnlyOne,
            Turned::HadNoWork | Turned::Back | Turned::NotBack { .. } => Left::NoWork,
        };
        engine.hang_up().await;
        Ok(left)
    }

    fn asked(&self, part: &PartSpec, turn: Turn, patience_s: u64) -> TurnRequest {
        TurnRequest { part: part.clone(), host: self.host.to_owned(), turn, patience_s }
    }

    /// Has the balancers give the host work again. With `has_failed`, further hosts may not have their turn.
    async fn end(mut self, has_failed: bool, emit: Emit<'_>) -> Result<(), Failure> {
        let mut not_back = None;
        for Balancer { name, mut engine, part } in std::mem::take(&mut self.away) {
            emit(step(format!("`{name}` gives this host work again")));
            match engine.turn(self.asked(&part, Turn::Back, BACK_S), emit).await {
                Ok(Turned::NotBack { why }) => {
                    let what = format!("`{}` gets no work from `{name}`", self.host);
                    let hint = format!("`hwctl doctor --limit {}` looks for the cause", self.host);
                    not_back = Some(Failure::new(Exit::Failed, what).why(why).hint(hint));
                }
                Ok(_) => {}
                Err(failure) => not_back = Some(failure),
            }
            engine.hang_up().await;
        }
        if has_failed || not_back.is_some() {
            self.roll.failures.fetch_add(1, Ordering::Relaxed);
        }
        not_back.map_or(Ok(()), Err)
    }
}

fn step(message: String) -> EventKind {
    EventKind::Step { message, fraction: None }
}
