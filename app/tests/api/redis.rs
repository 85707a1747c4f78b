//! A Redis of the test's own, kept as safely as the product keeps its Redis.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hwctl_setup::Tool;

/// Debian's `redis-server` is a link to this program, which knows by its name what to be. Its own
/// package would also start a Redis as a service on this machine.
const SERVER: &str = "redis-check-rdb";
const TOOLS: [Tool; 2] = [
    Tool::new(SERVER, "redis-tools", "is the Redis of the API's tests"),
    Tool::new("redis-cli", "redis-tools", "asks it"),
];

/// A running `redis-server` on a unix socket.
pub(crate) struct Redis {
    directory: PathBuf,
    process: Child,
}

impl Redis {
    /// Starts one that keeps its data in `directory`.
    pub(crate) fn start(directory: &Path) -> Self {
        // Not by a macro, whose output the test harness would keep to itself.
        let tell = |line: &str| drop(writeln!(std::io::stderr(), "set-up: {line}"));
        hwctl_setup::ensure(&TOOLS, &tell).unwrap_or_else(|error| panic!("{error}"));
        let process = Command::new(SERVER)
            .arg0("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .arg("--requirepass")
            .arg(super::service::REDIS_PASSWORD)
            .arg("--unixsocket")
            .arg(directory.join("redis.sock"))
            .arg("--dir")
            .arg(directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("Redis starts");
        let redis = Self { directory: directory.to_owned(), process };
        let began = Instant::now();
        while redis.ask("PING") != "PONG" {
            assert!(began.elapsed() < Duration::from_secs(10), "redis-server does not start");
            thread::sleep(Duration::from_millis(5));
        }
        redis
    }

    /// What `redis-cli` answers.
    pub(crate) fn ask(&self, command: &str) -> String {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.directory.join("redis.sock"))
            .args(["--no-auth-warning", "-a", super::service::REDIS_PASSWORD])
            .args(command.split(' '))
            .output()
            .expect("redis-cli starts");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        super::service::signal(self.process.id(), name);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
