//! Redis of this host, asked over its port on the loopback: a few commands of RESP are enough.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bollard::query_parameters::InspectContainerOptions;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::resource::{Advise as _, Host, Secret, require_docker};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that makes sense here.
const MAX_ANSWER: u64 = 1 << 20;
/// The API's key of the count of visits.
const VISITS: &str = "visits";

/// Where Redis is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisPlace {
    /// Its container.
    pub container: String,
    /// Its port on the loopback.
    pub port: u16,
    /// The name of the host's secret that is its password.
    pub password: String,
}

impl RedisPlace {
    /// The folder on the host that the container has its data in.
    pub(super) async fn folder(&self, host: &Host) -> Result<PathBuf> {
        let docker = require_docker(host).await?;
        let options = None::<InspectContainerOptions>;
        let found = docker.inspect_container(&self.container, options).await;
        let found = found.with_context(|| format!("look at the container `{}`", self.container));
        let found = found.hint("`hwctl provision` makes the stack")?;
        let mounts = found.mounts.unwrap_or_default().into_iter();
        let mut data = mounts.filter(|mount| mount.destination.as_deref() == Some("/data"));
        let source = data.next().and_then(|mount| mount.source);
        source.map(PathBuf::from).with_context(|| {
            format!("the container `{}` has no folder for its data", self.container)
        })
    }
}

/// A secret that this host has made for itself.
pub fn host_secret(host: &Host, name: &str) -> Result<Secret> {
    let path = host.state_dir().join("secrets").join(name);
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("read `{}`", path.display()));
    Ok(Secret::new(text.hint("`hwctl provision` makes the stack")?.trim()))
}

/// A connection to Redis.
#[derive(Debug)]
pub(super) struct Redis(BufReader<TcpStream>);

impl Redis {
    /// Connects and gives the password.
    pub(super) async fn connect(host: &Host, place: &RedisPlace) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)).await;
        let stream = stream.with_context(|| format!("reach Redis on port {}", place.port))?;
        let mut redis = Self(BufReader::new(stream));
        let password = host_secret(host, &place.password)?;
        redis.ask(&["AUTH", password.expose()]).await.context("log in to Redis")?;
        Ok(redis)
    }

    /// One command and its answer; what is not there is empty.
    pub(super) async fn ask(&mut self, words: &[&str]) -> Result<String> {
        let command = words.first().copied().unwrap_or_default();
        let answer = timeout(PATIENCE, self.asked(words)).await;
        answer
            .with_context(|| format!("Redis does not answer `{command}` within 10 s"))?
            .with_context(|| format!("ask Redis for `{command}`"))
    }

    async fn asked(&mut self, words: &[&str]) -> Result<String> {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            let _ = write!(text, "${}\r\n{word}\r\n", word.len());
        }
        self.0.write_all(text.as_bytes()).await?;
        let mut line = String::new();
        (&mut self.0).take(MAX_ANSWER).read_line(&mut line).await?;
        let line = line.trim_end();
        match (line.get(..1), line.get(1..)) {
            (Some("+" | ":"), Some(text)) => Ok(text.to_owned()),
            (Some("-"), Some(text)) => bail!("{text}"),
            (Some("$"), Some("-1")) => Ok(String::new()),
            (Some("$"), Some(length)) => {
                let length: u64 = length.parse()?;
                if length > MAX_ANSWER {
                    bail!("an answer of {length} bytes");
                }
                let mut bytes = vec![0; usize::try_from(length)? + 2];
                self.0.read_exact(&mut bytes).await?;
                Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
            }
            _ => bail!("it answers `{line}`"),
        }
    }

    /// Number of keys, and the count of visits.
    pub(super) async fn count(&mut self) -> Result<(u64, u64)> {
        let keys = self.ask(&["DBSIZE"]).await?.parse()?;
        let visits = self.ask(&["GET", VISITS]).await?;
        Ok((keys, visits.parse().unwrap_or_default()))
    }

    /// A field of `INFO persistence`.
    pub(super) async fn persistence(&mut self, field: &str) -> Result<String> {
        let told = self.ask(&["INFO", "persistence"]).await?;
        let found = told.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(found.with_context(|| format!("Redis does not tell `{field}`"))?.trim().to_owned())
    }
}
