//! Serving: the socket, the connections, and an end that loses no request.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener as StdListener, UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::{
    net::{UnixListener, UnixStream},
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
const MAX_CONNECTIONS: usize = 1024;
/// A request's head must fit.
const MAX_HEAD: usize = 64 * 1024;

/// Serves until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> Result<()> {
    log::start(settings.log_level);
    edge::log_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        .max_blocking_threads(2)
        .thread_name("worker")
        .thread_stack_size(1024 * 1024)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_timeout(Duration::from_millis(100));
    log::flush();
    result
}

async fn serve(settings: Settings) -> Result<()> {
    let socket = Socket::open(&settings.socket)?;
    let state = State::from_settings(&settings)?;
    let edge = Edge::new(routes::router(Arc::clone(&state)), Arc::clone(&state));
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;

    log::line(Level::Info, "serving", |line| {
        line.text("version", env!("CARGO_PKG_VERSION")).text("settings", &settings.summary());
    });
    drop(settings);
    systemd::tell(NotifyState::Ready);
    tokio::spawn(systemd::feed_watchdog());

    let (close, closing) = watch::channel(false);
    tokio::select! {
        () = accept(&socket.listener, &edge, &state, &closing) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    systemd::tell(NotifyState::Stopping);
    drop(socket);
    drop(closing);
    finish(&state, &close).await;
    Ok(())
}

/// Lets what is in flight end: politely first, then by closing idle connections, then by force.
async fn finish(state: &State, close: &watch::Sender<bool>) {
    log::line(Level::Info, "stopping", |_| {});
    state.drain();
    if tokio::time::timeout(DRAIN, close.closed()).await.is_err() {
        close.send_replace(true);
        if tokio::time::timeout(FINISH, close.closed()).await.is_err() {
            let left = state.metrics.connections.load(Ordering::Relaxed);
            log::line(Level::Error, "requests cut off", |line| {
                line.number("connections", left);
            });
        }
    }
    log::line(Level::Info, "stopped", |_| {});
}

async fn accept(
    listener: &UnixListener,
    edge: &Edge,
    state: &Arc<State>,
    closing: &watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (edge, state, closing) = (edge.clone(), Arc::clone(state), closing.clone());
                tokio::spawn(async move {
                    state.metrics.connections.fetch_add(1, Ordering::Relaxed);
                    connection(stream, edge, closing).await;
                    state.metrics.connections.fetch_sub(1, Ordering::Relaxed);
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

async fn connection(stream: UnixStream, edge: Edge, mut closing: watch::Receiver<bool>) {
    // No `pipeline_flush`: it lifts the bound on what is buffered of a long answer.
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), edge);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = told(&mut closing) => {
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

/// Ends when connections are told to close.
async fn told(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|close| *close).await;
}

/// The listening socket: systemd's, or one of our own that goes when we go.
struct Socket {
    listener: UnixListener,
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
        Ok(Self { listener: UnixListener::from_std(listener)?, own })
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
