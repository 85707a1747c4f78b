//! One run at a time on a host: a kernel lock, gone with the process that holds it.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::engine::protocol::RunInfo;
use crate::engine::protocol::input::Halted;
use crate::resource::{Advise, Host};

const PATH: &str = "/run/hwctl.lock";
/// How often a held lock is tried.
const INTERVAL: Duration = Duration::from_millis(200);

/// Held until dropped.
#[derive(Debug)]
pub(in crate::engine) struct Lock(
    #[expect(dead_code, reason = "holding the file open holds the lock")] File,
);

#[derive(Serialize, Deserialize)]
struct Holder {
    run: RunInfo,
    from: Option<String>,
    since: String,
}

impl Lock {
    /// Takes the lock, waiting for another run to end, unless who wants it is `halted`; `tell` is
    /// told who holds it.
    pub(in crate::engine) async fn take(
        host: &Host,
        run: &RunInfo,
        from: Option<String>,
        patience: Duration,
        halted: &Halted,
        emit: impl Fn(String),
    ) -> Result<Self> {
        let mut file = open(host)?;
        let start = Instant::now();
        let (mut looked, mut told) = (false, false);
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = describe(&mut file);
            // Who only looks whether it is held holds it for a moment.
            if looked && start.elapsed() >= patience {
                return Err(anyhow::anyhow!("another run holds this host: {holder}"))
                    .hint("wait until it is done and run again");
            }
            if looked && !told {
                emit(format!("waiting for another run: {holder}"));
                told = true;
            }
            looked = true;
            sleep(INTERVAL).await;
            if halted.get().is_some() {
                bail!("nobody waits for this host any more");
            }
        }
        let since = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let holder = Holder { run: run.clone(), from, since };
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&serde_json::to_vec(&holder)?)?;
        Ok(Self(file))
    }

    /// Whether a run holds this host.
    pub(in crate::engine) fn is_held(host: &Host) -> bool {
        let file = File::open(host.path(Path::new(PATH)));
        file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
    }
}

/// For root alone: whoever may open it may hold it.
fn open(host: &Host) -> Result<File> {
    let path = host.path(Path::new(PATH));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let open = || {
        let file = options.open(&path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok::<_, std::io::Error>(file)
    };
    open().with_context(|| format!("open `{}`", path.display()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn host(root: &Path) -> Host {
        std::fs::create_dir(root.join("run")).unwrap();
        Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()))
    }

    async fn take(host: &Host, verb: &str, patience: Duration) -> Result<(Lock, Vec<String>)> {
        let run = RunInfo { operator: "me@here".into(), verb: verb.into(), version: "1".into() };
        let told = std::cell::RefCell::new(Vec::new());
        let emit = |line| told.borrow_mut().push(line);
        let from = Some("192.0.2.7".to_owned());
        let lock = Lock::take(host, &run, from, patience, &Halted::default(), emit).await?;
        Ok((lock, told.into_inner()))
    }

    #[tokio::test]
    async fn the_second_is_told_who_holds_it_and_nobody_but_root_can() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let path = host.path(Path::new(PATH));
        std::fs::write(&path, "").unwrap();
        let (first, told) = take(&host, "provision", Duration::ZERO).await.unwrap();
        assert_eq!(told, [""; 0]);
        assert!(Lock::is_held(&host));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let refused = take(&host, "rollback", Duration::ZERO).await.unwrap_err();
        let refused = format!("{refused:#}");
        let holder = "another run holds this host: `provision` by me@here from 192.0.2.7, since ";
        assert!(refused.contains(holder), "{refused}");
        drop(first);
        assert!(!Lock::is_held(&host));
        take(&host, "rollback", Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn who_only_looks_is_no_run() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        drop(take(&host, "provision", Duration::ZERO).await.unwrap());
        let look = open(&host).unwrap();
        flock(&look, FlockOperation::NonBlockingLockShared).unwrap();
        let taken = take(&host, "rollback", Duration::ZERO);
        let (taken, ()) = tokio::join!(taken, async {
            sleep(INTERVAL / 2).await;
            drop(look);
        });
        assert_eq!(taken.unwrap().1, [""; 0], "the run of before holds nothing");
    }
}
