//! A copy of Redis's data, and putting one back: both are counted, and what was there before stays
//! aside until the new data is proven.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bollard::query_parameters::{StartContainerOptions, StopContainerOptionsBuilder};
use tokio::time::{Instant, sleep};

use super::place::Place;
use crate::engine::{Case, Copied, Dump, Later, check_copy};
use crate::event::Data;
use crate::resource::container::redis::{
    COPY, Count, LOG, LOG_ASIDE, MAGIC, prepare, read_copy, switch,
};
use crate::resource::{Host, require_docker, sha256};

/// How long Redis may take to load a copy.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long Redis has to end, in seconds.
const STOP: i32 = 10;

/// The copy is an RDB file.
#[derive(Debug)]
pub(super) struct RedisDump;

impl Dump for RedisDump {
    fn copy<'a>(&'a self, case: &'a Case<'a>) -> Later<'a, (Copied, Vec<u8>)> {
        Box::pin(async { copy(case.host, &Place::of(case.part)?).await })
    }

    fn require_valid(&self, bytes: &[u8]) -> Result<()> {
        match bytes.starts_with(MAGIC) {
            true => Ok(()),
            false => bail!("the copy is none of Redis's data"),
        }
    }

    fn restore<'a>(
        &'a self,
        case: &'a Case<'a>,
        copied: &'a Copied,
        bytes: &'a [u8],
    ) -> Later<'a, ()> {
        Box::pin(async { restore(case.host, &Place::of(case.part)?, copied, bytes).await })
    }
}

/// A copy of what Redis has at one moment, as an RDB file, counted at that moment.
async fn copy(host: &Host, place: &Place<'_>) -> Result<(Copied, Vec<u8>)> {
    let file = place.folder(host).await?.join(COPY);
    let count = place.connect(host).await?.copy().await?;
    let bytes = read_copy(&file)?;
    fs::remove_file(&file).with_context(|| format!("remove `{}`", file.display()))?;
    let data = Data::new(counts(&count), bytes.len() as u64);
    Ok((Copied { data, sha256: sha256(&bytes) }, bytes))
}

/// Puts a copy in the place of what Redis has, and counts. When that fails, what was there before
/// is back in its place.
async fn restore(host: &Host, place: &Place<'_>, copied: &Copied, bytes: &[u8]) -> Result<()> {
    check_copy(copied, bytes)?;
    let folder = place.folder(host).await?;
    let (live, aside) = (folder.join(LOG), folder.join(LOG_ASIDE));
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

async fn stop(host: &Host, place: &Place<'_>) -> Result<()> {
    let options = StopContainerOptionsBuilder::new().t(STOP).build();
    let stopped = require_docker(host).await?.stop_container(place.container, Some(options)).await;
    stopped.with_context(|| format!("stop the container `{}`", place.container))
}

async fn start(host: &Host, place: &Place<'_>) -> Result<()> {
    let options = None::<StartContainerOptions>;
    let started = require_docker(host).await?.start_container(place.container, options).await;
    started.with_context(|| format!("start the container `{}`", place.container))
}

/// Counts what Redis has loaded. The API may have counted on meanwhile.
async fn prove(host: &Host, place: &Place<'_>, copied: &Copied) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let count = loop {
        let counted = async {
            let mut redis = place.connect(host).await?;
            if redis.info("persistence", "loading").await? != "0" {
                bail!("Redis is still loading");
            }
            redis.count().await
        };
        match counted.await {
            Ok(count) => break count,
            Err(_) if runs(host, place).await && Instant::now() < deadline => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
        }
    };
    for (name, found) in counts(&count) {
        let wanted = copied.data.counts.get(name).copied().unwrap_or_default();
        if found < wanted {
            bail!("it has {found} {name} instead of {wanted}");
        }
    }
    Ok(())
}

/// The counts of Redis, by the names that a backup lists them under.
fn counts(count: &Count) -> [(&'static str, u64); 2] {
    [("keys", count.keys), ("visits", count.visits)]
}

/// A Redis that does not take the copy ends, and is started again and again.
async fn runs(host: &Host, place: &Place<'_>) -> bool {
    let Ok(docker) = require_docker(host).await else { return false };
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let found = docker.inspect_container(place.container, options).await;
    found.is_ok_and(|found| found.restart_count.unwrap_or_default() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_of_redis_is_restored() {
        assert!(RedisDump.require_valid(b"REDIS0011 and more").is_ok());
        let error = RedisDump.require_valid(b"no data").unwrap_err().to_string();
        assert!(error.contains("none of Redis's"), "{error}");
    }
}
