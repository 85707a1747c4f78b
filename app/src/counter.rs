//! The visits counter in Redis, over one connection that mends itself.
//!
//! Redis's reply is the acknowledgement: a visitor is told a number only after Redis has handed it to
//! the kernel. In a rush the work of a round trip to Redis exceeds that of all else, so visitors who
//! come within a moment share one: one `INCRBY` for all, and to each a number of their own.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use redis::{
    Client, Cmd, ConnectionInfo, FromRedisValue, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::sync::{Notify, oneshot};

use crate::{
    error::ApiError,
    log::{self, Level},
    metrics::Metrics,
};

/// The key of the counter.
pub const KEY: &str = "visits";
/// A command that takes longer has failed; well within the second that a visitor is promised.
const ANSWER: Duration = Duration::from_millis(800);
const CONNECT: Duration = Duration::from_millis(400);
/// The most that a power cut takes.
const FSYNC_EVERY: Duration = Duration::from_secs(1);
/// How often a lost Redis is looked for.
const MEND: Duration = Duration::from_millis(200);

/// The counter.
pub struct Counter {
    info: ConnectionInfo,
    manager: RwLock<ConnectionManager>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// Redis is known to be away, and is being looked for.
    away: AtomicBool,
    metrics: Arc<Metrics>,
}

/// Who waits for a number, by thread.
type Waiting = HashMap<ThreadId, Vec<Visitor>>;
/// Who waits for a number; without one when Redis is away.
type Visitor = oneshot::Sender<Ticket>;

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
            drop(visitor.send(Ticket { number, others: Vec::new() }));
        }
    }
}

enum Failure {
    TimedOut,
    Redis(RedisError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => write!(f, "no answer within {} ms", ANSWER.as_millis()),
            Self::Redis(error) => error.fmt(f),
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
            arrived: Notify::new(),
            away: AtomicBool::new(false),
            metrics,
        });
        tokio::spawn(Arc::clone(&counter).serve_visitors());
        Ok(counter)
    }

    /// Counts a visit and returns the new number.
    pub async fn next(&self) -> Result<u64, ApiError> {
        if self.away.load(Ordering::Acquire) {
            return Err(ApiError::RedisAway);
        }
        let (visitor, number) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting();
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
        loop {
            let arrived = self.arrived.notified();
            match fsync.due() {
                Some(due) => drop(tokio::time::timeout_at(due.into(), arrived).await),
                None => arrived.await,
            }
            // Those who are on their way in share the command; others gather while Redis answers.
            tokio::task::yield_now().await;
            let mut threads = std::mem::take(&mut *self.waiting());
            for visitors in threads.values_mut() {
                visitors.retain(|visitor| !visitor.is_closed());
            }
            let visits = threads.values().map(Vec::len).sum();
            if visits == 0 && fsync.due().is_none_or(|due| Instant::now() < due) {
                continue;
            }
            match self.count(visits, &mut fsync).await {
                Ok(last) => hand_out(last.saturating_sub(visits as u64) + 1, threads),
                // Those who came meanwhile have waited long enough: dropping tells them.
                Err(_) => drop((threads, std::mem::take(&mut *self.waiting()))),
            }
        }
    }

    /// Counts so many visits, and returns the number of the last.
    async fn count(self: &Arc<Self>, visits: usize, fsync: &mut Fsync) -> Result<u64, ApiError> {
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
        let visits: Option<u64> = self.answer(redis::cmd("GET").arg(KEY)).await?;
        Ok(visits.unwrap_or(0))
    }

    /// Whether Redis answers now.
    pub async fn ready(self: &Arc<Self>) -> Result<(), ApiError> {
        self.answer::<String>(&redis::cmd("PING")).await.map(drop)
    }

    async fn answer<T: FromRedisValue>(self: &Arc<Self>, command: &Cmd) -> Result<T, ApiError> {
        self.command(command).await.map_err(|failure| {
            self.metrics.redis_errors.fetch_add(1, Ordering::Relaxed);
            self.mend(failure);
            ApiError::RedisAway
        })
    }

    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let mut manager = self.manager.read().unwrap_or_else(PoisonError::into_inner).clone();
        match tokio::time::timeout(ANSWER, command.query_async(&mut manager)).await {
            Ok(answer) => answer.map_err(Failure::Redis),
            Err(_) => Err(Failure::TimedOut),
        }
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
            log::line(Level::Info, "redis answers again", |_| {});
        });
    }

    fn renew(&self) {
        if let Ok(manager) = connect(&self.info) {
            *self.manager.write().unwrap_or_else(PoisonError::into_inner) = manager;
        }
    }
}

/// Gives a number to everyone, from `number` on.
fn hand_out(mut number: u64, threads: Waiting) {
    for mut others in threads.into_values() {
        let next = number + others.len() as u64;
        if let Some(first) = others.pop() {
            // Who has gone drops the ticket, and so passes on the others' numbers.
            drop(first.send(Ticket { number, others }));
        }
        number = next;
    }
}

/// When Redis brings its log to the disk.
///
/// It always hands a change to the kernel before it answers, so that no kill loses a number that was
/// told. (Its own `everysec` would not: it answers first whenever an fsync takes long.) To a power
/// cut, the first visit in a second is safe once its number is told, and in a rush the others within
/// that second: an fsync takes longer than all else of a visit, up to some milliseconds.
struct Fsync {
    /// The setting in force; unknown after a failure.
    mode: Option<&'static str>,
    /// When Redis last brought all to the disk.
    last: Option<Instant>,
}

const ALWAYS: &str = "always";
const RELAXED: &str = "no";

impl Fsync {
    fn new() -> Self {
        // One who was killed in a rush leaves it so.
        Self { mode: Some(RELAXED), last: Some(Instant::now()) }
    }

    fn is_relaxed(&self) -> bool {
        self.mode == Some(RELAXED)
    }

    /// When what was counted last has to go to the disk, if it is not there.
    fn due(&self) -> Option<Instant> {
        self.last.filter(|_| self.is_relaxed()).map(|last| last + FSYNC_EVERY)
    }

    /// The setting for what is counted now.
    fn wanted(&self) -> &'static str {
        let recent = self.last.is_some_and(|last| last.elapsed() < FSYNC_EVERY);
        if recent { RELAXED } else { ALWAYS }
    }

    fn is_now(&mut self, mode: &'static str) {
        self.mode = Some(mode);
        if mode == ALWAYS {
            self.last = Some(Instant::now());
        }
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
