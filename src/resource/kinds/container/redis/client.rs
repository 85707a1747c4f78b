//! A client of Redis: the few commands of RESP that hwctl needs.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpStream, ToSocketAddrs, UnixStream};
use tokio::time::{Instant, sleep, timeout};

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long Redis may take to write a copy of its data.
const COPY_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest answer that makes sense here, in bytes.
const MAX_ANSWER: u64 = 1 << 20;
/// How long writes wait at most while a copy begins, in milliseconds.
const PAUSE_MS: &str = "2000";
/// How long writes wait at most that must not come any more, in milliseconds: until Redis is stopped.
const HOLD_MS: &str = "120000";
/// The API's key of the count of visits.
const VISITS: &str = "visits";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How many keys Redis has, over all its databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// All keys.
    pub keys: u64,
    /// Those that expire, and may be gone by the next count.
    pub expiring: u64,
    /// The count of visits.
    pub visits: u64,
}

/// A connection to Redis.
pub struct RedisClient(BufReader<Box<dyn Stream>>);

impl std::fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisClient")
    }
}

impl RedisClient {
    /// Connects over a unix socket and logs in.
    pub async fn connect(socket: &Path, password: &str) -> Result<Self> {
        let stream = UnixStream::connect(socket).await;
        let stream = stream.with_context(|| format!("reach Redis on `{}`", socket.display()))?;
        Self::log_in(Box::new(stream), Some(password)).await
    }

    /// Connects over TCP and logs in, if there is a password.
    pub(super) async fn connect_tcp(
        address: impl ToSocketAddrs,
        password: Option<&str>,
    ) -> Result<Self> {
        let stream = timeout(ANSWER_TIMEOUT, TcpStream::connect(address)).await??;
        Self::log_in(Box::new(stream), password).await
    }

    async fn log_in(stream: Box<dyn Stream>, password: Option<&str>) -> Result<Self> {
        let mut redis = Self(BufReader::new(stream));
        if let Some(password) = password {
            redis.ask(&["AUTH", password]).await.context("log in to Redis")?;
        }
        Ok(redis)
    }

    /// Sends one command. An answer that is nil is empty; the items of an array are lines.
    pub async fn ask(&mut self, words: &[&str]) -> Result<String> {
        let command = words.first().copied().unwrap_or_default();
        let answer = timeout(ANSWER_TIMEOUT, self.exchange(words)).await;
        answer
            .with_context(|| format!("Redis does not answer `{command}` within 10 s"))?
            .with_context(|| format!("ask Redis for `{command}`"))
    }

    async fn exchange(&mut self, words: &[&str]) -> Result<String> {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            let _ = write!(text, "${}\r\n{word}\r\n", word.len());
        }
        self.0.write_all(text.as_bytes()).await?;
        let (kind, rest) = self.line().await?;
        if kind != '*' {
            return self.value(kind, &rest).await;
        }
        let mut items = Vec::new();
        for _ in 0..rest.parse::<u16>()? {
            let (kind, rest) = self.line().await?;
            items.push(self.value(kind, &rest).await?);
        }
        Ok(items.join("\n"))
    }

    /// Reads a line: its type, and what follows.
    async fn line(&mut self) -> Result<(char, String)> {
        let mut line = String::new();
        (&mut self.0).take(MAX_ANSWER).read_line(&mut line).await?;
        let line = line.trim_end();
        let Some(kind) = line.chars().next() else { bail!("Redis closed the connection") };
        Ok((kind, line[kind.len_utf8()..].to_owned()))
    }

    async fn value(&mut self, kind: char, rest: &str) -> Result<String> {
        match kind {
            '+' | ':' => Ok(rest.to_owned()),
            '-' => bail!("{rest}"),
            '$' if rest == "-1" => Ok(String::new()),
            '$' => {
                let length: u64 = rest.parse()?;
                if length > MAX_ANSWER {
                    bail!("an answer of {length} bytes");
                }
                let mut bytes = vec![0; usize::try_from(length)? + 2];
                self.0.read_exact(&mut bytes).await?;
                Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
            }
            _ => bail!("it answers `{kind}{rest}`"),
        }
    }

    /// Counts the keys of all databases, and the visits.
    pub async fn count(&mut self) -> Result<Count> {
        let told = self.ask(&["INFO", "keyspace"]).await?;
        let sum = |name: &str| -> u64 { told.lines().map(|line| number(line, name)).sum() };
        let visits = self.ask(&["GET", VISITS]).await.unwrap_or_default();
        Ok(Count {
            keys: sum("keys="),
            expiring: sum("expires="),
            visits: visits.parse().unwrap_or_default(),
        })
    }

    /// A field of `INFO` in one of its sections.
    pub async fn info(&mut self, section: &str, field: &str) -> Result<String> {
        let told = self.ask(&["INFO", section]).await?;
        let found = told.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(found.with_context(|| format!("Redis does not report `{field}`"))?.trim().to_owned())
    }

    /// A setting of `CONFIG GET`.
    pub(super) async fn setting(&mut self, name: &str) -> Result<String> {
        let told = self.ask(&["CONFIG", "GET", name]).await?;
        Ok(told.lines().nth(1).unwrap_or_default().to_owned())
    }

    /// Lets writes wait from now on, until Redis is stopped or they are released.
    pub(super) async fn hold_writes(&mut self) -> Result<()> {
        self.ask(&["CLIENT", "PAUSE", HOLD_MS, "WRITE"]).await.map(drop)
    }

    /// Ends [`RedisClient::hold_writes`].
    pub(super) async fn release_writes(&mut self) -> Result<()> {
        self.ask(&["CLIENT", "UNPAUSE"]).await.map(drop)
    }

    /// Has Redis write its copy (`dbfilename`) and counts what is in it. Writes wait while it begins.
    pub async fn copy(&mut self) -> Result<Count> {
        let deadline = Instant::now() + COPY_TIMEOUT;
        let count = loop {
            self.ask(&["CLIENT", "PAUSE", PAUSE_MS, "WRITE"]).await?;
            let counted = self.count().await;
            let begun = self.begin_copy(deadline).await;
            self.release_writes().await?;
            if begun? {
                break counted?;
            }
        };
        self.end_copy(deadline).await?;
        Ok(count)
    }

    /// The same while writes are held, which they still are afterwards.
    pub(super) async fn copy_held(&mut self) -> Result<Count> {
        let deadline = Instant::now() + COPY_TIMEOUT;
        let count = self.count().await?;
        while !self.begin_copy(deadline).await? {}
        self.end_copy(deadline).await?;
        Ok(count)
    }

    /// Returns false after a moment where Redis is rewriting its own files, or another copy is
    /// under way.
    async fn begin_copy(&mut self, deadline: Instant) -> Result<bool> {
        match self.ask(&["BGSAVE"]).await {
            Ok(_) => Ok(true),
            Err(error)
                if format!("{error:#}").contains("progress") && Instant::now() < deadline =>
            {
                sleep(Duration::from_millis(200)).await;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn end_copy(&mut self, deadline: Instant) -> Result<()> {
        while self.info("persistence", "rdb_bgsave_in_progress").await? != "0" {
            if Instant::now() > deadline {
                bail!("Redis does not finish its copy within {} s", COPY_TIMEOUT.as_secs());
            }
            sleep(Duration::from_millis(20)).await;
        }
        if self.info("persistence", "rdb_last_bgsave_status").await? != "ok" {
            bail!("Redis cannot write a copy of its data; its log says why (it may be the disk)");
        }
        Ok(())
    }
}

/// The number that follows `name` in a line such as `db0:keys=3,expires=1,avg_ttl=0`.
fn number(line: &str, name: &str) -> u64 {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let found = line.split_once(name).filter(|(head, _)| head.starts_with("db"));
    found.and_then(|(_, rest)| digits(rest).parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_database_are_read() {
        let line = "db0:keys=43,expires=2,avg_ttl=9";

        assert_eq!((number(line, "keys="), number(line, "expires=")), (43, 2));
        assert_eq!(number("# Keyspace", "keys="), 0);
    }

    #[tokio::test]
    async fn every_kind_of_answer_is_read() {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (mut read, mut write) = tokio::io::split(theirs);
        tokio::spawn(async move {
            let answers = [
                "+OK\r\n",
                "$-1\r\n",
                "$5\r\nhello\r\n",
                "*2\r\n$3\r\ndir\r\n$5\r\n/data\r\n",
                "-ERR no\r\n",
                "",
            ];
            for answer in answers {
                let mut asked = [0; 256];
                let _ = read.read(&mut asked).await;
                write.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let mut redis = RedisClient(BufReader::new(Box::new(ours)));

        assert_eq!(redis.ask(&["PING"]).await.unwrap(), "OK");
        assert_eq!(redis.ask(&["GET", "x"]).await.unwrap(), "");
        assert_eq!(redis.ask(&["GET", "y"]).await.unwrap(), "hello");
        assert_eq!(redis.setting("dir").await.unwrap(), "/data");
        assert!(format!("{:#}", redis.ask(&["NO"]).await.unwrap_err()).contains("ERR no"));
        assert!(redis.ask(&["PING"]).await.is_err(), "the connection is closed");
    }

    proptest::proptest! {
        #[test]
        fn damaged_answers_end_with_a_value_or_an_error(bytes in crate::damaged::bytes(&[
            b"$5\r\nhello\r\n",
            b"*2\r\n$3\r\ndir\r\n$5\r\n/data\r\n",
            b"*1\r\n:-1\r\n",
            b"-ERR no\r\n",
        ])) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (ours, mut theirs) = tokio::io::duplex(128 << 10);
                theirs.write_all(&bytes).await.unwrap();
                theirs.shutdown().await.unwrap();
                let mut redis = RedisClient(BufReader::new(Box::new(ours)));
                let _ = redis.ask(&["GET", "x"]).await;
            });
        }
    }
}
