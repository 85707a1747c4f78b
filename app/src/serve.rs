//! Serving: the socket, the threads, the connections, and an end that loses no request.
//!
//! Each thread takes connections from the one socket and keeps them, as nginx's workers do. A runtime
//! that moves requests between threads wakes one to hand it what the other could have done itself:
//! 15 µs of CPU for a ping instead of 10.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener as StdListener, UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::{
    net::{UnixListener, UnixStream},
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, watch},
};

use crate::{
    edge::{self, Edge},
    log::{self, Level},
    routes,
    settings::Settings,
    state::State,
    systemd,
};

/// How long a connection may be idle: longer than nginx keeps one, so that nginx closes first.
const IDLE: Duration = Duration::from_secs(75);
/// After SIGTERM, how long busy connections are left to end with their next answer.
const DRAIN: Duration = Duration::from_millis(300);
/// After that, how long requests in flight may take.
const FINISH: Duration = Duration::from_secs(10);
/// Connections beyond this wait in the listening socket.
const MAX_CONNECTIONS: u32 = 1024;
/// A request's head must fit.
const MAX_HEAD: usize = 64 * 1024;

/// Serves until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> Result<()> {
    log::start(settings.log_level);
    edge::log_panics();
    let runtime = runtime()?;
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_timeout(Duration::from_millis(100));
    log::flush();
    result
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .max_blocking_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

async fn serve(settings: Settings) -> Result<()> {
    let socket = Socket::open(&settings.socket)?;
    let state = State::from_settings(&settings)?;
    let edge = Edge::new(routes::router(Arc::clone(&state)), Arc::clone(&state));
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;

    let (phase, told) = watch::channel(Phase::Serving);
    let door =
        Door { edge, state, places: Arc::new(Semaphore::new(MAX_CONNECTIONS as usize)), told };
    for _ in 1..settings.workers {
        spawn_worker(
            socket.listener.try_clone().context("cannot share the socket")?,
            door.clone(),
        )?;
    }
    let own = socket.listener.try_clone().context("cannot share the socket")?;
    tokio::spawn(door.clone().accept(UnixListener::from_std(own)?));

    log::line(Level::Info, "serving", |line| {
        line.text("version", env!("CARGO_PKG_VERSION")).text("settings", &settings.summary());
    });
    drop(settings);
    systemd::tell(NotifyState::Ready);
    tokio::spawn(systemd::feed_watchdog());
    tokio::spawn(tick());

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    systemd::tell(NotifyState::Stopping);
    drop(socket);
    finish(&door, &phase).await;
    Ok(())
}

/// Starts a thread that takes connections until the service ends.
fn spawn_worker(listener: StdListener, mut door: Door) -> Result<()> {
    let runtime = runtime()?;
    let listener = {
        let _inside = runtime.enter();
        UnixListener::from_std(listener)?
    };
    let serve = move || {
        runtime.block_on(async {
            tokio::spawn(tick());
            door.clone().accept(listener).await;
            // Its connections live on until all have ended.
            door.reached(Phase::Ended).await;
        });
    };
    let worker = thread::Builder::new().name("worker".into()).stack_size(1024 * 1024).spawn(serve);
    worker.context("cannot start a thread").map(drop)
}

/// Keeps a timer that ends before those of the connections: when one ends before all others, the
/// runtime makes a system call to wake itself, which was so for half of all requests.
async fn tick() {
    let mut beat = tokio::time::interval(IDLE / 3);
    loop {
        beat.tick().await;
    }
}

/// How far the service is on its way to the end.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Phase {
    /// It takes connections.
    Serving,
    /// It takes none, and each answer closes its connection.
    Draining,
    /// It closes those that are idle.
    Closing,
    /// Its threads end.
    Ended,
}

/// What a thread needs to take connections.
#[derive(Clone)]
struct Door {
    edge: Edge,
    state: Arc<State>,
    places: Arc<Semaphore>,
    told: watch::Receiver<Phase>,
}

/// Lets what is in flight end: politely first, then by closing idle connections, then by force.
async fn finish(door: &Door, phase: &watch::Sender<Phase>) {
    log::line(Level::Info, "stopping", |_| {});
    door.state.drain();
    phase.send_replace(Phase::Draining);
    if tokio::time::timeout(DRAIN, door.empty()).await.is_err() {
        phase.send_replace(Phase::Closing);
        if tokio::time::timeout(FINISH, door.empty()).await.is_err() {
            let left = door.state.metrics.connections.load(Ordering::Relaxed);
            log::line(Level::Error, "requests cut off", |line| {
                line.number("connections", left);
            });
        }
    }
    phase.send_replace(Phase::Ended);
    log::line(Level::Info, "stopped", |_| {});
}

impl Door {
    /// Takes connections until told to take no more.
    async fn accept(self, listener: UnixListener) {
        let mut told = self.clone();
        tokio::select! {
            () = self.take_connections(&listener) => {}
            () = told.reached(Phase::Draining) => {}
        }
    }

    async fn take_connections(&self, listener: &UnixListener) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let door = self.clone();
                    tokio::spawn(async move {
                        let connections = &Arc::clone(&door.state).metrics.connections;
                        connections.fetch_add(1, Ordering::Relaxed);
                        connection(stream, door).await;
                        connections.fetch_sub(1, Ordering::Relaxed);
                        drop(place);
                    });
                }
                Err(error) => {
                    log::line(Level::Error, "cannot accept a connection", |line| {
                        line.text("reason", &error.to_string());
                    });
                    // Most likely out of descriptors, which takes a while to change.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Ends when no connection is left.
    async fn empty(&self) {
        let _ = self.places.acquire_many(MAX_CONNECTIONS).await;
    }

    /// Ends when the service is as far as `phase`.
    async fn reached(&mut self, phase: Phase) {
        let _ = self.told.wait_for(|now| *now >= phase).await;
    }
}

async fn connection(stream: UnixStream, mut door: Door) {
    // No `pipeline_flush`: it lifts the bound on what is buffered of a long answer.
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), door.edge.clone());
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = door.reached(Phase::Closing) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        log::line(Level::Debug, "connection failed", |line| {
            line.text("reason", &error.to_string());
        });
    }
}

/// The listening socket: systemd's, or one of our own that goes when we go.
struct Socket {
    listener: StdListener,
    own: Option<PathBuf>,
}

impl Socket {
    fn open(path: &Path) -> Result<Self> {
        let handed = ListenFd::from_env()
            .take_unix_listener(0)
            .context("the socket that systemd hands over is not a listening unix socket")?;
        let (listener, own) = match handed {
            Some(listener) => (listener, None),
            None => (bind(path)?, Some(path.to_owned())),
        };
        listener.set_nonblocking(true).context("cannot make the socket non-blocking")?;
        Ok(Self { listener, own })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(path) = &self.own {
            let _ = fs::remove_file(path);
        }
    }
}

/// Binds beside and renames, so that the socket never shows with another mode.
fn bind(path: &Path) -> Result<StdListener> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            bail!("cannot listen on `{shown}`: something that is not a socket is there")
        }
        Ok(_) if StdStream::connect(path).is_ok() => {
            bail!("cannot listen on `{shown}`: another process does")
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot look at `{shown}`")),
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let context = || format!("cannot listen on `{shown}`");
    let listener = StdListener::bind(&beside).with_context(context)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o660))
        .and_then(|()| fs::rename(&beside, path))
        .with_context(context)?;
    Ok(listener)
}
