//! The visits counter in Redis, over one connection that mends itself.
//!
//! Redis's reply is the acknowledgement: a visitor is told a number only after Redis has handed it to
//! the kernel. In a rush the work of a round trip to Redis exceeds that of all else, so visitors who
//! come within a moment share one: one `INCRBY` for all, and to each a number of their own.
//!
//! While Redis is away, as during its restart, visitors wait for it: up to a bound, and up to a number.

mod failure;
mod fsync;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use redis::{
    Arg, Client, Cmd, ConnectionInfo, FromRedisValue,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::sync::{Notify, oneshot};

use crate::{
    error::ApiError,
    log::{self, Level},
    metrics::Metrics,
};
use failure::{Failure, Outage};
use fsync::Fsync;

/// The key of the counter.
pub const KEY: &str = "visits";
/// A command that takes longer has failed; well within the time that a visitor waits.
const ANSWER: Duration = Duration::from_millis(800);
/// How long a visitor waits for a Redis that is away. A restart of its container takes 1 to 2 seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// At most so many visitors wait: as many as nginx takes connections.
const MOST_WAITING: usize = 4096;
/// How often those who have waited long enough are looked for.
const EXPIRY: Duration = Duration::from_millis(50);
const CONNECT: Duration = Duration::from_millis(400);
/// How often a lost Redis is looked for.
const MEND: Duration = Duration::from_millis(50);

/// The counter.
pub struct Counter {
    info: ConnectionInfo,
    manager: RwLock<ConnectionManager>,
    waiting: Mutex<Waiting>,
    /// How many visitors wait for a Redis that is away besides those.
    held: AtomicUsize,
    arrived: Notify,
    /// Redis is back.
    back: Notify,
    /// Redis is known to be away, and is being looked for.
    away: AtomicBool,
    metrics: Arc<Metrics>,
}

/// Who waits for a number, by thread.
type Waiting = HashMap<ThreadId, Vec<Visitor>>;
/// Who waits for a number.
struct Visitor {
    /// Closed without a number when Redis does not come back in time.
    number: oneshot::Sender<Ticket>,
    since: Instant,
}

/// A visitor's number, and the visitors on the same thread who get the next ones.
///
/// To wake a visitor on another thread takes a system call. So the first on each thread is handed
/// the others, and hands out their numbers when it drops its ticket, on the thread where they wait.
struct Ticket {
    number: u64,
    others: Vec<Visitor>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        for (number, visitor) in (self.number + 1..).zip(self.others.drain(..)) {
            // Who has gone was counted all the same.
            drop(visitor.number.send(Ticket { number, others: Vec::new() }));
        }
    }
}

impl Counter {
    /// Makes the counter; Redis need not be there yet. Call it within the runtime.
    pub fn start(info: ConnectionInfo, metrics: Arc<Metrics>) -> anyhow::Result<Arc<Self>> {
        let counter = Arc::new(Self {
            manager: RwLock::new(connect(&info)?),
            info,
            waiting: Mutex::default(),
            held: AtomicUsize::new(0),
            arrived: Notify::new(),
            back: Notify::new(),
            away: AtomicBool::new(false),
            metrics,
        });
        tokio::spawn(Arc::clone(&counter).serve_visitors());
        Ok(counter)
    }

    /// Counts a visit and returns the new number.
    pub async fn next(&self) -> Result<u64, ApiError> {
        let (sender, number) = oneshot::channel();
        let visitor = Visitor { number: sender, since: Instant::now() };
        let first = {
            let mut waiting = self.waiting();
            if count(&waiting) + self.held.load(Ordering::Relaxed) >= MOST_WAITING {
                return Err(ApiError::RedisAway);
            }
            let first = waiting.is_empty();
            waiting.entry(thread::current().id()).or_default().push(visitor);
            first
        };
        if first {
            self.arrived.notify_one();
        }
        number.await.map(|ticket| ticket.number).map_err(|_| ApiError::RedisAway)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve_visitors(self: Arc<Self>) {
        let mut fsync = Fsync::new();
        // The number of the last visit.
        let mut known = None;
        loop {
            let arrived = self.arrived.notified();
            match fsync.due() {
                Some(due) => drop(tokio::time::timeout_at(due.into(), arrived).await),
                None => arrived.await,
            }
            // Those who are on their way in share the command; others gather while Redis answers.
            tokio::task::yield_now().await;
            let mut threads = std::mem::take(&mut *self.waiting());
            dismiss(&mut threads, |visitor| visitor.number.is_closed());
            let visits = count(&threads);
            if visits == 0 && fsync.due().is_none_or(|due| Instant::now() < due) {
                continue;
            }
            match self.count(visits, &mut fsync).await {
                Ok(last) => {
                    known = Some(last);
                    hand_out(last.saturating_sub(visits as u64) + 1, threads);
                }
                // It is the same for everyone, now and in a moment.
                Err(Outage::Lasting) => drop((threads, std::mem::take(&mut *self.waiting()))),
                Err(Outage::Passing) => {
                    let lost = Lost { visits, before: known };
                    known = self.serve_after_return(threads, lost, &mut fsync).await;
                }
            }
        }
    }

    /// Waits with the visitors of a command that has failed until Redis is back, and counts them then.
    /// Who has waited long enough goes. Returns the number of the last visit, where it is known.
    async fn serve_after_return(
        self: &Arc<Self>,
        mut threads: Waiting,
        mut lost: Lost,
        fsync: &mut Fsync,
    ) -> Option<u64> {
        loop {
            self.wait_until_back(&mut threads).await;
            let visits = count(&threads);
            if visits == 0 {
                return None;
            }
            match self.count_again(visits, &mut lost, fsync).await {
                Ok(last) => {
                    // Who has gone meanwhile may be counted: the others get the last numbers.
                    hand_out(last.saturating_sub(visits as u64) + 1, threads);
                    return Some(last);
                }
                Err(Outage::Lasting) => return None,
                Err(Outage::Passing) => tokio::time::sleep(MEND).await,
            }
        }
    }

    /// Counts so many visits unless the command whose answer was lost has counted them.
    ///
    /// Redis holds the number that it would have made, if it was carried out and nobody else counts.
    /// Where somebody else did, the visits are counted once more perhaps; no number is told twice.
    async fn count_again(
        self: &Arc<Self>,
        visits: usize,
        lost: &mut Lost,
        fsync: &mut Fsync,
    ) -> Result<u64, Outage> {
        let now: Option<u64> = self.answer(redis::cmd("GET").arg(KEY)).await?;
        let now = now.unwrap_or(0);
        if lost.before.is_some_and(|before| now == before + lost.visits as u64) {
            return Ok(now);
        }
        *lost = Lost { visits, before: Some(now) };
        self.count(visits, fsync).await
    }

    /// Waits until Redis is back, and lets go who has waited long enough.
    async fn wait_until_back(&self, threads: &mut Waiting) {
        let is_over =
            |visitor: &Visitor| visitor.number.is_closed() || visitor.since.elapsed() >= PATIENCE;
        loop {
            let back = self.back.notified();
            let is_away = self.away.load(Ordering::Acquire);
            dismiss(threads, is_over);
            if !is_away {
                self.held.store(0, Ordering::Relaxed);
                return;
            }
            self.held.store(count(threads), Ordering::Relaxed);
            dismiss(&mut self.waiting(), is_over);
            drop(tokio::time::timeout(EXPIRY, back).await);
        }
    }

    /// Counts so many visits, and returns the number of the last.
    async fn count(self: &Arc<Self>, visits: usize, fsync: &mut Fsync) -> Result<u64, Outage> {
        // Unknown until both commands are answered.
        let before = fsync.mode.take();
        let mode = fsync.wanted();
        if before != Some(mode) {
            let set = redis::cmd("CONFIG").arg("SET").arg("appendfsync").arg(mode).to_owned();
            self.answer::<()>(&set).await?;
        }
        let last = self.answer(redis::cmd("INCRBY").arg(KEY).arg(visits)).await?;
        fsync.is_now(mode);
        Ok(last)
    }

    /// The number of visits, without counting one.
    pub async fn current(self: &Arc<Self>) -> Result<u64, ApiError> {
        let visits: Result<Option<u64>, _> = self.answer(redis::cmd("GET").arg(KEY)).await;
        visits.map(Option::unwrap_or_default).map_err(|_| ApiError::RedisAway)
    }

    /// Whether Redis answers now.
    pub async fn ready(self: &Arc<Self>) -> Result<(), ApiError> {
        let answer = self.answer::<String>(&redis::cmd("PING")).await;
        answer.map(drop).map_err(|_| ApiError::RedisAway)
    }

    async fn answer<T: FromRedisValue>(self: &Arc<Self>, command: &Cmd) -> Result<T, Outage> {
        self.command(command).await.map_err(|failure| {
            let outage = failure.outage();
            self.mend(failure);
            outage
        })
    }

    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let mut manager = self.manager.read().unwrap_or_else(PoisonError::into_inner).clone();
        let began = Instant::now();
        let answer = match tokio::time::timeout(ANSWER, command.query_async(&mut manager)).await {
            Ok(answer) => answer.map_err(Failure::Redis),
            Err(_) => Err(Failure::TimedOut),
        };
        let name = match command.args_iter().next() {
            Some(Arg::Simple(name)) => name,
            _ => b"",
        };
        self.metrics.redis.record(name, answer.is_ok(), began.elapsed());
        answer
    }

    /// Looks for Redis in the background until it is back, so that no visitor has to find out.
    fn mend(self: &Arc<Self>, failure: Failure) {
        if self.away.swap(true, Ordering::AcqRel) {
            return;
        }
        log::line(Level::Error, "redis is away", |line| {
            line.text("reason", &failure.to_string());
        });
        let counter = Arc::clone(self);
        tokio::spawn(async move {
            let mut failure = failure;
            loop {
                // A connection that takes commands and answers none never ends by itself.
                if matches!(failure, Failure::TimedOut) {
                    counter.renew();
                }
                match counter.command::<String>(&redis::cmd("PING")).await {
                    Ok(_) => break,
                    Err(next) => failure = next,
                }
                tokio::time::sleep(MEND).await;
            }
            counter.away.store(false, Ordering::Release);
            counter.back.notify_one();
            log::line(Level::Info, "redis answers again", |_| {});
        });
    }

    fn renew(&self) {
        if let Ok(manager) = connect(&self.info) {
            *self.manager.write().unwrap_or_else(PoisonError::into_inner) = manager;
        }
    }
}

/// A command whose answer was lost.
struct Lost {
    /// How many visits it counts.
    visits: usize,
    /// The number of the last visit before them, where it is known.
    before: Option<u64>,
}

fn count(threads: &Waiting) -> usize {
    threads.values().map(Vec::len).sum()
}

/// Lets visitors go without a number.
fn dismiss(threads: &mut Waiting, is_over: impl Fn(&Visitor) -> bool) {
    threads.retain(|_, visitors| {
        visitors.retain(|visitor| !is_over(visitor));
        !visitors.is_empty()
    });
}

/// Gives a number to everyone, from `number` on.
fn hand_out(mut number: u64, threads: Waiting) {
    for mut others in threads.into_values() {
        let next = number + others.len() as u64;
        if let Some(first) = others.pop() {
            // Who has gone drops the ticket, and so passes on the others' numbers.
            drop(first.number.send(Ticket { number, others }));
        }
        number = next;
    }
}

fn connect(info: &ConnectionInfo) -> anyhow::Result<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT))
        // The deadline for a whole command is ours; two timers for each would be one too many.
        .set_response_timeout(None)
        .set_number_of_retries(0)
        .set_pipeline_buffer_size(256);
    let client = Client::open(info.clone())?;
    Ok(ConnectionManager::new_lazy_with_config(client, config)?)
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo as _;

    use super::*;

    #[tokio::test]
    async fn so_many_wait_for_redis_and_no_more() {
        let nowhere = "redis+unix:///nowhere/redis.sock".into_connection_info().expect("a URL");
        let counter = Counter::start(nowhere, Arc::default()).expect("a counter");
        let began = Instant::now();
        let wait = || {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move { counter.next().await })
        };
        let waiting: Vec<_> = (0..MOST_WAITING + 200).map(|_| wait()).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;

        assert_eq!(counter.next().await, Err(ApiError::RedisAway));
        assert!(began.elapsed() < PATIENCE, "who finds no place does not wait");
        for visitor in waiting {
            assert_eq!(visitor.await.expect("an end"), Err(ApiError::RedisAway));
        }
        assert!(began.elapsed() < PATIENCE * 2, "{:?}", began.elapsed());
    }
}
