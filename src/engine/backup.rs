//! A copy of Redis's data, and putting one back: both are counted, and what was there before stays
//! aside until the new data is proven.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bollard::query_parameters::{StartContainerOptions, StopContainerOptionsBuilder};
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::redis::{Redis, RedisPlace};
use crate::event::Data;
use crate::resource::{Advise as _, Host, require_docker, sha256};

/// The largest copy: four times what Redis may hold in memory.
pub const MAX_BACKUP: u64 = 256 << 20;
/// What a copy begins with.
const MAGIC: &[u8] = b"REDIS";
/// How long Redis may take to write a copy, or to load one.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long writes wait at most while the copy begins, in milliseconds.
const PAUSE: &str = "2000";
/// How long Redis has to end, in seconds.
const STOP: i32 = 10;

/// Redis's own folder of its append-only files, below its data.
const LIVE: &str = "appendonlydir";
/// The folder beside it that it changes places with.
const ASIDE: &str = "appendonlydir.hwctl";
const BASE: &str = "appendonly.aof.1.base.rdb";
const MANIFEST: (&str, &str) =
    ("appendonly.aof.manifest", "file appendonly.aof.1.base.rdb seq 1 type b\n");

/// What a copy is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// What it holds.
    pub data: Data,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// A copy of what Redis has at one moment, as an RDB file, counted at that moment.
pub(super) async fn backup(host: &Host, place: &RedisPlace) -> Result<(Copied, Vec<u8>)> {
    let file = place.folder(host).await?.join("dump.rdb");
    let mut redis = Redis::connect(host, place).await?;
    let deadline = Instant::now() + PATIENCE;
    let (keys, visits) = loop {
        // Between the count and the copy nothing is written: writers wait for a moment.
        redis.ask(&["CLIENT", "PAUSE", PAUSE, "WRITE"]).await?;
        let counted = redis.count().await;
        let begun = redis.ask(&["BGSAVE"]).await;
        redis.ask(&["CLIENT", "UNPAUSE"]).await?;
        match begun {
            Ok(_) => break counted?,
            // It is rewriting its own files, or another copy is under way.
            Err(error)
                if format!("{error:#}").contains("progress") && Instant::now() < deadline =>
            {
                sleep(Duration::from_millis(200)).await;
            }
            Err(error) => return Err(error),
        }
    };
    while redis.persistence("rdb_bgsave_in_progress").await? != "0" {
        if Instant::now() > deadline {
            bail!("Redis does not finish its copy within {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(20)).await;
    }
    if redis.persistence("rdb_last_bgsave_status").await? != "ok" {
        return Err(anyhow!("Redis cannot write its copy"))
            .hint("`hwctl logs redis` says why; it may be the disk");
    }
    let bytes = read(&file)?;
    fs::remove_file(&file).with_context(|| format!("remove `{}`", file.display()))?;
    let data = Data { keys, visits, bytes: bytes.len() as u64 };
    Ok((Copied { data, sha256: sha256(&bytes) }, bytes))
}

/// The folder is Redis's: a link in it is not followed.
fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.with_context(|| format!("open `{shown}`"))?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > MAX_BACKUP {
        bail!("`{shown}` is no copy of Redis's data, or is too large");
    }
    let mut bytes = Vec::new();
    file.take(MAX_BACKUP).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether these are the bytes of that copy.
pub fn check(copied: &Copied, bytes: &[u8]) -> Result<()> {
    if bytes.len() as u64 != copied.data.bytes || sha256(bytes) != copied.sha256 {
        bail!("the copy is damaged: its checksum is another");
    }
    if !bytes.starts_with(MAGIC) {
        bail!("the copy is none of Redis's data");
    }
    Ok(())
}

/// Puts a copy in the place of what Redis has, and counts. When that fails, what was there before
/// is back in its place.
pub(super) async fn restore(
    host: &Host,
    place: &RedisPlace,
    copied: &Copied,
    bytes: &[u8],
) -> Result<()> {
    check(copied, bytes)?;
    let folder = place.folder(host).await?;
    let (live, aside) = (folder.join(LIVE), folder.join(ASIDE));
    let step = |message: &str| host.progress(None, message);
    step("stopping Redis");
    stop(host, place).await?;
    // Redis alone could have put something into its folder, and it does not run.
    let switched = prepare(&folder, &aside, bytes).and_then(|()| switch(&live, &aside));
    let had_data = match switched {
        Ok(had_data) => had_data,
        Err(error) => {
            start(host, place).await?;
            return Err(error.context("put the copy beside Redis's data"));
        }
    };
    step("starting Redis with the copy");
    let proven = match start(host, place).await {
        Ok(()) => prove(host, place, copied).await,
        Err(error) => Err(error),
    };
    let Err(error) = proven else {
        if had_data {
            fs::remove_dir_all(&aside).with_context(|| format!("remove `{}`", aside.display()))?;
        }
        return Ok(());
    };
    step("putting the data of before back");
    stop(host, place).await?;
    if had_data {
        switch(&live, &aside)?;
        fs::remove_dir_all(&aside)?;
    } else {
        fs::remove_dir_all(&live)?;
    }
    start(host, place).await?;
    Err(error.context("Redis does not have what the copy has; its data of before is back"))
}

/// Writes the copy as Redis keeps its data: the base of an append-only log that has no more.
fn prepare(folder: &Path, aside: &Path, bytes: &[u8]) -> Result<()> {
    // Of a restore that was interrupted before or after the switch: what is live is whole.
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let owner = fs::metadata(folder)?;
    let own = |path: &Path| chown(path, Some(owner.uid()), Some(owner.gid()));
    DirBuilder::new().mode(0o700).create(aside)?;
    for (name, content) in [(BASE, bytes), (MANIFEST.0, MANIFEST.1.as_bytes())] {
        let path = aside.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(content)?;
        file.sync_all()?;
        own(&path)?;
    }
    own(aside)?;
    File::open(aside)?.sync_all()?;
    Ok(())
}

/// Changes places, in one step: at no time is there no data. Whether there was some.
fn switch(live: &Path, aside: &Path) -> Result<bool> {
    let had_data = live.symlink_metadata().is_ok();
    if had_data {
        renameat_with(CWD, live, CWD, aside, RenameFlags::EXCHANGE)?;
    } else {
        fs::rename(aside, live)?;
    }
    let parent = live.parent().map(PathBuf::from).unwrap_or_default();
    File::open(parent)?.sync_all()?;
    Ok(had_data)
}

async fn stop(host: &Host, place: &RedisPlace) -> Result<()> {
    let options = StopContainerOptionsBuilder::new().t(STOP).build();
    let stopped = require_docker(host).await?.stop_container(&place.container, Some(options)).await;
    stopped.with_context(|| format!("stop the container `{}`", place.container))
}

async fn start(host: &Host, place: &RedisPlace) -> Result<()> {
    let options = None::<StartContainerOptions>;
    let started = require_docker(host).await?.start_container(&place.container, options).await;
    started.with_context(|| format!("start the container `{}`", place.container))
}

/// Counts what Redis has loaded. The API may have counted on meanwhile.
async fn prove(host: &Host, place: &RedisPlace, copied: &Copied) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let (keys, visits) = loop {
        let counted = async {
            let mut redis = Redis::connect(host, place).await?;
            if redis.persistence("loading").await? != "0" {
                bail!("Redis is still loading");
            }
            redis.count().await
        };
        match counted.await {
            Ok(counted) => break counted,
            Err(_) if runs(host, place).await && Instant::now() < deadline => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
        }
    };
    let wanted = &copied.data;
    if keys < wanted.keys || visits < wanted.visits {
        bail!(
            "it has {keys} keys and {visits} visits instead of {} and {}",
            wanted.keys,
            wanted.visits
        );
    }
    Ok(())
}

/// A Redis that does not take the copy ends, and is started again and again.
async fn runs(host: &Host, place: &RedisPlace) -> bool {
    let Ok(docker) = require_docker(host).await else { return false };
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let found = docker.inspect_container(&place.container, options).await;
    found.is_ok_and(|found| found.restart_count.unwrap_or_default() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_copy_is_refused() {
        let bytes = b"REDIS0011 and more";
        let data = Data { keys: 1, visits: 2, bytes: bytes.len() as u64 };
        let copied = Copied { data, sha256: sha256(bytes) };
        assert!(check(&copied, bytes).is_ok());
        assert!(check(&copied, b"REDIS0011 and mone").is_err());
        assert!(check(&copied, &bytes[1..]).is_err());
        let other = Copied { sha256: sha256(b"no data"), data: Data { bytes: 7, ..copied.data } };
        let error = check(&other, b"no data").unwrap_err().to_string();
        assert!(error.contains("none of Redis's"), "{error}");
    }

    #[test]
    fn data_changes_places_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let (live, aside) = (folder.path().join(LIVE), folder.path().join(ASIDE));
        prepare(folder.path(), &aside, b"REDIS new").unwrap();
        assert!(!switch(&live, &aside).unwrap(), "there was no data");
        assert_eq!(fs::read(live.join(BASE)).unwrap(), b"REDIS new");

        fs::write(live.join(BASE), "REDIS old").unwrap();
        prepare(folder.path(), &aside, b"REDIS newer").unwrap();
        // What an interrupted restore left is no obstacle.
        prepare(folder.path(), &aside, b"REDIS newer").unwrap();
        assert!(switch(&live, &aside).unwrap());
        assert_eq!(fs::read(live.join(BASE)).unwrap(), b"REDIS newer");
        assert_eq!(fs::read(aside.join(BASE)).unwrap(), b"REDIS old");
        assert!(switch(&live, &aside).unwrap());
        assert_eq!(fs::read(live.join(BASE)).unwrap(), b"REDIS old");
    }
}
