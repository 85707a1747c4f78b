//! Ctrl-C and SIGTERM: the first ends the work after the change in hand, the second at once.

use std::sync::LazyLock;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::failure::{Exit, Failure};

static WANTED: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::channel(false).0);

/// Listens from now on, instead of dying of the signals: `first` is called at the first one,
/// `second` at each later one. Call it within the runtime.
pub fn listen(
    first: impl Fn() + Send + 'static,
    second: impl Fn() + Send + 'static,
) -> std::io::Result<()> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        loop {
            either(&mut interrupt, &mut terminate).await;
            if WANTED.send_replace(true) { second() } else { first() }
        }
    });
    Ok(())
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Ends at the first one.
pub async fn wanted() {
    let mut wanted = WANTED.subscribe();
    // The sender is never dropped.
    let _ = wanted.wait_for(|wanted| *wanted).await;
}

/// Work that changes nothing ends with the first one.
pub async fn or_stopped<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = wanted() => Err(Failure::new(Exit::Interrupted, "stopped on request")
            .not_done("nothing was changed on the host")),
        done = work => done,
    }
}
