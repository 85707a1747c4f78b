//! One run at a time on a host: a kernel lock, gone with the process that holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::protocol::RunInfo;
use crate::resource::{Advise, Host};

const PATH: &str = "/run/hwctl.lock";

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "holding the file open holds the lock")] File);

#[derive(Serialize, Deserialize)]
struct Holder {
    run: RunInfo,
    from: Option<String>,
    since: String,
}

impl Lock {
    /// Takes the lock, waiting for another run to end; `tell` is told who holds it.
    pub(super) async fn take(
        host: &Host,
        run: &RunInfo,
        from: Option<String>,
        patience: Duration,
        tell: impl Fn(String),
    ) -> Result<Self> {
        let path = host.path(Path::new(PATH));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).with_context(|| format!("open `{}`", path.display()))?;
        let start = Instant::now();
        let mut told = false;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = describe(&mut file);
            if start.elapsed() >= patience {
                return Err(anyhow::anyhow!("another run holds this host: {holder}"))
                    .hint("wait until it is done and run again");
            }
            if !told {
                tell(format!("waiting for another run: {holder}"));
                told = true;
            }
            sleep(Duration::from_millis(200)).await;
        }
        let since = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let holder = Holder { run: run.clone(), from, since };
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&serde_json::to_vec(&holder)?)?;
        Ok(Self(file))
    }

    /// Whether a run holds this host.
    pub(super) fn is_held(host: &Host) -> bool {
        let file = File::open(host.path(Path::new(PATH)));
        file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
    }
}

fn describe(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    match read.ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok()) {
        Some(Holder { run, from, since }) => {
            let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
            format!("`{}` by {}{from}, since {since}", run.verb, run.operator)
        }
        None => "its holder has not said who it is".to_owned(),
    }
}
