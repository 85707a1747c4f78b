//! Runs a program of the operator's and takes what it prints, within bounds of size and time. What the output means is
//! up to the caller.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time between two looks at a program that still runs.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the output may pause once the program has ended. A process that it left behind may keep the pipe open
/// for as long as it lives.
const LAST_OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// How much is read at once.
const PIECE: usize = 16 << 10;

/// Whether a program may ask the operator something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    None,
    Terminal,
}

/// What a program may take.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) time: Duration,
    /// Bytes of each of its outputs.
    pub(super) bytes: usize,
}

/// What a program printed, and how it ended.
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Why there is no output.
pub(super) enum Fault {
    /// The program was not started, or was lost.
    Io(std::io::Error),
    /// The program took longer than it may and was ended. It has printed this on standard error.
    TooLong(Vec<u8>),
    /// The program printed more than it may and was ended.
    TooMuch,
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs a program to its end. Processes that it leaves behind are not waited for.
pub(super) fn run(command: &mut Command, input: Input, bounds: Bounds) -> Result<Output, Fault> {
    let stdin = if input == Input::None { Stdio::null() } else { Stdio::inherit() };
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = Stream::read(child.stdout.take(), bounds.bytes);
    let stderr = Stream::read(child.stderr.take(), bounds.bytes);
    let streams = [&stdout, &stderr];
    let status = wait(&mut child, streams, bounds)?;
    for stream in streams {
        stream.wait();
    }
    if streams.iter().any(|stream| stream.is_too_long(bounds)) {
        return Err(Fault::TooMuch);
    }
    match status {
        Some(status) => Ok(Output { status, stdout: stdout.take(), stderr: stderr.take() }),
        None => Err(Fault::TooLong(stderr.take())),
    }
}

/// Waits for the end of a program. One that takes or prints too much is ended, which gives None.
fn wait(
    child: &mut Child,
    streams: [&Stream; 2],
    bounds: Bounds,
) -> std::io::Result<Option<ExitStatus>> {
    let end = Instant::now() + bounds.time;
    while Instant::now() < end && !streams.iter().any(|stream| stream.is_too_long(bounds)) {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(PAUSE);
    }
    let _ = child.kill();
    child.wait()?;
    Ok(None)
}

/// An output that a thread of its own reads, so that the program never waits for us.
struct Stream(Arc<(Mutex<Heard>, Condvar)>);

/// What was read of an output so far.
#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    is_over: bool,
}

impl Stream {
    /// Reads to the end, or up to the bound and a byte.
    fn read(from: Option<impl Read + Send + 'static>, bound: usize) -> Self {
        let stream = Self(Arc::default());
        let shared = Arc::clone(&stream.0);
        std::thread::spawn(move || {
            let mut piece = vec![0; PIECE];
            let mut from = from.map(|from| from.take(bound as u64 + 1));
            loop {
                let read = from.as_mut().map_or(Ok(0), |from| from.read(&mut piece));
                let mut heard = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
                match read {
                    Ok(0) => heard.is_over = true,
                    Ok(count) => heard.bytes.extend_from_slice(&piece[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => heard.is_over = true,
                }
                shared.1.notify_all();
                if heard.is_over {
                    return;
                }
            }
        });
        stream
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of the output, or until no more of it comes.
    fn wait(&self) {
        let mut heard = self.heard();
        while !heard.is_over {
            let before = heard.bytes.len();
            let waited = self.0.1.wait_timeout(heard, LAST_OUTPUT_TIMEOUT);
            let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            heard = now;
            if timeout.timed_out() && heard.bytes.len() == before {
                return;
            }
        }
    }

    fn is_too_long(&self, bounds: Bounds) -> bool {
        self.heard().bytes.len() > bounds.bytes
    }

    fn take(self) -> Vec<u8> {
        std::mem::take(&mut self.heard().bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { time: Duration::from_mins(1), bytes: 1 << 10 };

    fn run_shell(script: &str, bounds: Bounds) -> Result<Output, Fault> {
        run(Command::new("sh").args(["-c", script]), Input::None, bounds)
    }

    #[test]
    fn a_process_that_is_left_behind_neither_takes_the_output_nor_holds_it_up() {
        let began = Instant::now();

        let output = run_shell("echo out; echo err >&2; sleep 50 & exit 3", BOUNDS);

        let output = output.unwrap_or_else(|_| panic!("the program is refused"));
        assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.status.code(), Some(3));
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    }

    #[test]
    fn what_a_process_prints_soon_after_the_program_has_ended_is_taken() {
        let output = run_shell("(sleep 0.3; echo late) & echo soon", BOUNDS);

        let output = output.unwrap_or_else(|_| panic!("the program is refused"));
        assert_eq!(output.stdout, b"soon\nlate\n");
    }

    #[test]
    fn a_program_that_prints_or_takes_too_much_is_ended() {
        let too_much = run_shell("yes >&2", BOUNDS);
        let too_long = run_shell(
            "echo waiting >&2; exec sleep 50",
            Bounds { time: Duration::from_millis(500), ..BOUNDS },
        );

        assert!(matches!(too_much, Err(Fault::TooMuch)));
        assert!(matches!(too_long, Err(Fault::TooLong(said)) if said == b"waiting\n"));
    }
}
