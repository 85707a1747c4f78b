//! What the operator's side says: requests in their order, and what cannot wait for its turn.

use anyhow::{Result, anyhow};
use tokio::io::{AsyncRead, BufReader};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::engine::protocol::{Request, SILENCE, read_frame, skip_to_greeting};

/// How many requests may come before they are asked for; more wait in the stream.
const AHEAD: usize = 4;

/// Why the work has to end before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Halt {
    /// The operator wants it to.
    Stopped,
    /// The operator's side is gone.
    Gone,
}

/// Whether the work has to end; shared between who reads and who works.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Halted {
    halt: watch::Sender<Option<Halt>>,
    locked_out: watch::Sender<Option<String>>,
}

impl Halted {
    /// Why, if it has to.
    pub(in crate::engine) fn get(&self) -> Option<Halt> {
        *self.halt.borrow()
    }

    /// Why the operator could not log in anew, if that was said since it was asked last.
    pub(in crate::engine) fn take_locked_out(&self) -> Option<String> {
        self.locked_out.send_replace(None)
    }

    /// Ends when the operator's side is gone.
    pub(in crate::engine) async fn gone(&self) {
        // The sender is never dropped.
        let _ = self.halt.subscribe().wait_for(|halt| *halt == Some(Halt::Gone)).await;
    }

    fn set(&self, halt: Halt) {
        self.halt.send_replace(Some(halt));
    }
}

/// Reads requests in a task of its own, so that a word to stop and the end of the input are seen
/// during work.
pub(in crate::engine) fn read_requests(
    input: impl AsyncRead + Unpin + Send + 'static,
) -> (Receiver<Result<Request>>, Halted) {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let halted = Halted::default();
    let told = halted.clone();
    tokio::spawn(async move {
        let result = pass_on(input, &sender, &told).await;
        told.set(Halt::Gone);
        if let Err(error) = result {
            let _ = sender.send(Err(error)).await;
        }
    });
    (receiver, halted)
}

/// Passes requests on until the input ends or nobody takes them.
async fn pass_on(
    input: impl AsyncRead + Unpin,
    sender: &Sender<Result<Request>>,
    halted: &Halted,
) -> Result<()> {
    let mut input = BufReader::new(input);
    skip_to_greeting(&mut input).await?;
    loop {
        // Where a network is cut, nobody ever says that the connection is over.
        let read = timeout(SILENCE, read_frame(&mut input)).await;
        let read = read.map_err(|_| anyhow!("the operator's side is silent"))?;
        let Some(request) = read? else { return Ok(()) };
        match request {
            Request::Alive => {}
            Request::Stop => halted.set(Halt::Stopped),
            Request::LockedOut { why } => {
                halted.locked_out.send_replace(Some(why));
            }
            request => {
                if sender.send(Ok(request)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}
