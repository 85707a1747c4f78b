//! The service's settings, read from environment variables and checked before anything starts.
//!
//! | variable | meaning | default |
//! | --- | --- | --- |
//! | `SECRET_KEY` | signs tokens; at least 32 bytes; the credential `secret-key` goes first | none |
//! | `SECRET_KEY_ALSO` | another key whose tokens are taken as well; at least 32 bytes | none |
//! | `API_USERS` | `NAME:HASH` entries separated by spaces; argon2id in PHC form | none |
//! | `REDIS_URL` | `redis://[:PASSWORD@]HOST:PORT/DB` | `redis://127.0.0.1:6379/0` |
//! | `REDIS_SOCKET` | Redis's unix socket; goes before `REDIS_URL`'s host and port | none |
//! | `TOKEN_TTL` | seconds that a token holds | `3600` |
//! | `WORKERS` | threads that serve, or `auto` for the number of CPUs | `auto` |
//! | `LOG_LEVEL` | `error`, `warn`, `info` or `debug` | `info` |
//! | `SOCKET` | where to listen when systemd hands over no socket | `/run/gunicorn/flask.sock` |
//!
//! In a file that systemd or a shell reads, `API_USERS` stands in single quotes, since a hash is
//! full of `$`: `API_USERS='admin:$argon2id$v=19$m=19456,t=2,p=1$…$… second:$argon2id$…'`.

use std::{collections::BTreeMap, fmt, path::PathBuf, thread, time::Duration};

use hwctl_limits::{MIN_KEY_BYTES, TOKEN_TTL_S, WORKERS};
use redis::{ConnectionAddr, IntoConnectionInfo};

use crate::{auth::password::Hash, log::Level};

const DEFAULT_SOCKET: &str = "/run/gunicorn/flask.sock";
const DEFAULT_REDIS: &str = "redis://127.0.0.1:6379/0";
const DEFAULT_TTL: u64 = 3600;

/// Every setting of the service, checked.
pub struct Settings {
    /// The key that signs tokens.
    pub secret_key: Secret,
    /// Another key whose tokens are taken as well, while one key takes the place of the other.
    pub secret_key_also: Option<Secret>,
    /// Where Redis is, with its password.
    pub redis: redis::ConnectionInfo,
    /// The users that may log in, by name.
    pub users: BTreeMap<String, Hash>,
    /// How long a token holds.
    pub token_ttl: Duration,
    /// The number of threads that serve requests.
    pub workers: usize,
    /// The least important level that is logged.
    pub log_level: Level,
    /// The socket to make when systemd hands none over.
    pub socket: PathBuf,
}

/// A value that is shown nowhere: it has neither `Debug` nor `Display`.
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps `value` from being shown.
    #[must_use]
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

/// A setting that cannot be used. Its text names the variable and never a secret value.
#[derive(Debug)]
pub struct BadSetting {
    variable: &'static str,
    problem: String,
}

impl BadSetting {
    fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self { variable, problem: problem.into() }
    }
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad setting `{}`: {}", self.variable, self.problem)
    }
}

impl std::error::Error for BadSetting {}

type Result<T> = std::result::Result<T, BadSetting>;

impl Settings {
    /// Reads the settings from the process's environment.
    pub fn from_environment() -> Result<Self> {
        Self::read(&|name| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(BadSetting::new(name, "is not UTF-8")),
        })
    }

    /// Reads the settings through `lookup`, which answers for each variable's name.
    pub fn read(lookup: &dyn Fn(&'static str) -> Result<Option<String>>) -> Result<Self> {
        let text = |name| Ok(lookup(name)?.filter(|value| !value.is_empty()));
        Ok(Self {
            secret_key: secret_key(text("SECRET_KEY")?, text("CREDENTIALS_DIRECTORY")?)?,
            secret_key_also: text("SECRET_KEY_ALSO")?
                .map(|key| long_enough("SECRET_KEY_ALSO", key.trim().as_bytes()))
                .transpose()?,
            redis: redis_info(text("REDIS_URL")?, text("REDIS_SOCKET")?)?,
            users: users(text("API_USERS")?)?,
            token_ttl: token_ttl(text("TOKEN_TTL")?)?,
            workers: workers(text("WORKERS")?)?,
            log_level: log_level(text("LOG_LEVEL")?)?,
            socket: text("SOCKET")?.unwrap_or_else(|| DEFAULT_SOCKET.to_owned()).into(),
        })
    }

    /// The settings in one line, without any secret.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{} users, tokens hold {} s, {} workers, redis at {}, socket {}",
            self.users.len(),
            self.token_ttl.as_secs(),
            self.workers,
            self.redis.addr(),
            self.socket.display(),
        )
    }
}

/// A file in systemd's credentials directory goes before the variable, which others can inherit.
fn secret_key(variable: Option<String>, credentials: Option<String>) -> Result<Secret> {
    let file = credentials.map(|directory| PathBuf::from(directory).join("secret-key"));
    let key = match file.filter(|file| file.exists()) {
        Some(file) => std::fs::read(&file).map_err(|error| {
            BadSetting::new(
                "SECRET_KEY",
                format!("the credential `{}` cannot be read: {error}", file.display()),
            )
        })?,
        None => variable.unwrap_or_default().into_bytes(),
    };
    let key = key.trim_ascii();
    match key.len() {
        0 => Err(BadSetting::new(
            "SECRET_KEY",
            "is not set: give at least 32 random bytes, for example from `openssl rand -hex 32`",
        )),
        _ => long_enough("SECRET_KEY", key),
    }
}

fn long_enough(variable: &'static str, key: &[u8]) -> Result<Secret> {
    match key.len() {
        length if length < MIN_KEY_BYTES => Err(BadSetting::new(
            variable,
            format!("has {length} bytes, and needs at least {MIN_KEY_BYTES}"),
        )),
        _ => Ok(Secret::new(key)),
    }
}

fn redis_info(url: Option<String>, socket: Option<String>) -> Result<redis::ConnectionInfo> {
    // The library's message may quote the URL, which holds the password.
    let info = url.unwrap_or_else(|| DEFAULT_REDIS.to_owned()).into_connection_info();
    let info = info.map_err(|_| {
        BadSetting::new("REDIS_URL", "is not of the form `redis://[:PASSWORD@]HOST:PORT/DB`")
    })?;
    Ok(match socket {
        Some(path) => info.set_addr(ConnectionAddr::Unix(path.into())),
        None => info,
    })
}

fn users(list: Option<String>) -> Result<BTreeMap<String, Hash>> {
    let bad = |problem: String| BadSetting::new("API_USERS", problem);
    let list = list.ok_or_else(|| {
        bad("is not set: give `NAME:$argon2id$…` entries, separated by spaces".to_owned())
    })?;
    let mut users = BTreeMap::new();
    for (at, entry) in list.split_whitespace().enumerate() {
        let at = at + 1;
        let Some((name, hash)) = entry.split_once(':') else {
            return Err(bad(format!("entry {at} is not of the form `NAME:HASH`")));
        };
        if name.is_empty() || name.chars().count() > crate::auth::MAX_NAME {
            return Err(bad(format!("entry {at} has an empty or too long name")));
        }
        let hash =
            Hash::parse(hash).map_err(|problem| bad(format!("the hash of `{name}` {problem}")))?;
        if users.insert(name.to_owned(), hash).is_some() {
            return Err(bad(format!("names `{name}` twice")));
        }
    }
    if users.is_empty() { Err(bad("names no user".to_owned())) } else { Ok(users) }
}

fn token_ttl(value: Option<String>) -> Result<Duration> {
    let Some(value) = value else { return Ok(Duration::from_secs(DEFAULT_TTL)) };
    match value.trim().parse::<u32>() {
        Ok(seconds) if TOKEN_TTL_S.contains(&seconds) => Ok(Duration::from_secs(seconds.into())),
        _ => Err(BadSetting::new(
            "TOKEN_TTL",
            format!("`{value}` is not a number of seconds from 1 to {}", TOKEN_TTL_S.end()),
        )),
    }
}

fn workers(value: Option<String>) -> Result<usize> {
    let value = value.unwrap_or_else(|| "auto".to_owned());
    match value.trim() {
        "auto" => {
            let cpus = thread::available_parallelism().map_or(1, usize::from);
            Ok(cpus.min(usize::from(*WORKERS.end())))
        }
        number => match number.parse() {
            Ok(number) if WORKERS.contains(&number) => Ok(usize::from(number)),
            _ => Err(BadSetting::new(
                "WORKERS",
                format!("`{value}` is neither `auto` nor a number from 1 to {}", WORKERS.end()),
            )),
        },
    }
}

fn log_level(value: Option<String>) -> Result<Level> {
    let Some(value) = value else { return Ok(Level::Info) };
    Level::parse(value.trim()).ok_or_else(|| {
        BadSetting::new(
            "LOG_LEVEL",
            format!("`{value}` is none of `error`, `warn`, `info`, `debug`"),
        )
    })
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
