//! A running service of the test's own: the real binary, its socket, its log.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    client::{self, Answer},
    redis::Redis,
};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_flask-app");
/// Marked, so that a search of the log finds each of them.
pub(crate) const KEY: &str = "planted-key-0123456789abcdef0123456789";
pub(crate) const PASSWORD: &str = "planted-password";
pub(crate) const REDIS_PASSWORD: &str = "planted-redis-password";
/// Two users, `admin` and `second`, with the same password; as cheap to check as argon2 lets it be.
pub(crate) static USERS: LazyLock<String> = LazyLock::new(|| {
    let params = Params::new(8, 1, 1, None).expect("parameters");
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(PASSWORD.as_bytes())
        .expect("hash")
        .to_string();
    format!("admin:{hash} second:{hash}")
});

/// Settings under which the binary runs in `directory`.
pub(crate) fn environment(directory: &Path) -> BTreeMap<&'static str, String> {
    let redis = directory.join("redis.sock");
    BTreeMap::from([
        ("SECRET_KEY", KEY.to_owned()),
        ("API_USERS", USERS.clone()),
        ("REDIS_URL", format!("redis+unix://{}?pass={REDIS_PASSWORD}", redis.display())),
        ("SOCKET", directory.join("flask.sock").display().to_string()),
        ("WORKERS", "2".to_owned()),
    ])
}

/// A running service; ends with the value.
pub(crate) struct Service {
    pub(crate) directory: TempDir,
    pub(crate) socket: PathBuf,
    pub(crate) redis: Option<Redis>,
    process: Child,
}

impl Service {
    /// With a Redis.
    pub(crate) fn start() -> Self {
        let mut service = Self::without_redis();
        service.start_redis();
        service
    }

    /// With nothing where Redis should be.
    pub(crate) fn without_redis() -> Self {
        Self::with(&[])
    }

    /// Without Redis, and with these settings besides.
    pub(crate) fn with(settings: &[(&'static str, &str)]) -> Self {
        let directory = TempDir::new().expect("directory");
        let socket = directory.path().join("flask.sock");
        let process = spawn(directory.path(), settings);
        let service = Self { directory, socket, redis: None, process };
        service.wait_until_it_answers();
        service
    }

    pub(crate) fn start_redis(&mut self) {
        self.redis = Some(Redis::start(self.directory.path()));
    }

    pub(crate) fn redis(&mut self) -> &mut Redis {
        self.redis.as_mut().expect("redis runs")
    }

    /// Starts it again on the same socket and Redis.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.directory.path(), &[]);
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        let began = Instant::now();
        while self.try_get("/flask/api/ping").is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "no start: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn try_get(&self, path: &str) -> std::io::Result<Answer> {
        client::send(&self.socket, "GET", path, &[], b"")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).expect("answer")
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        client::send(&self.socket, method, path, headers, body.as_bytes()).expect("answer")
    }

    pub(crate) fn login(&self, body: &str) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send("POST", "/flask/auth/login", &headers, body)
    }

    /// Logs in as `admin`.
    pub(crate) fn token(&self) -> String {
        let body = format!(r#"{{"username":"admin","password":"{PASSWORD}"}}"#);
        let answer = self.login(&body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["token"].as_str().expect("token").to_owned()
    }

    pub(crate) fn count(&self, authorization: &str) -> Answer {
        self.send("GET", "/flask/api/count", &[("authorization", authorization)], "")
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.process.id(), name);
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("end")
    }

    /// Its log so far; lines come within a moment.
    pub(crate) fn log(&self) -> String {
        thread::sleep(Duration::from_millis(150));
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(directory: &Path, settings: &[(&'static str, &str)]) -> Child {
    let log = File::options().create(true).append(true).open(directory.join("log")).expect("log");
    Command::new(BINARY)
        .env_clear()
        .envs(environment(directory))
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("log"))
        .stderr(log)
        .spawn()
        .expect("process")
}

/// Sends a process of the test's own a signal by name.
pub(crate) fn signal(process: u32, name: &str) {
    let signal = match name {
        "CONT" => Signal::CONT,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "TERM" => Signal::TERM,
        _ => panic!("no signal is called {name}"),
    };
    let process = Pid::from_raw(process.try_into().expect("a process id")).expect("a process");
    kill_process(process, signal).expect("the signal is sent");
}
