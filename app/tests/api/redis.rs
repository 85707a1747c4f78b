//! A Redis of the test's own, kept as safely as the product keeps its Redis.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A running `redis-server` on a unix socket.
pub(crate) struct Redis {
    directory: PathBuf,
    process: Child,
}

impl Redis {
    /// Starts one that keeps its data in `directory`.
    pub(crate) fn start(directory: &Path) -> Self {
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .arg("--requirepass")
            .arg(super::service::REDIS_PASSWORD)
            .arg("--unixsocket")
            .arg(directory.join("redis.sock"))
            .arg("--dir")
            .arg(directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("these tests need the program `redis-server`: apt-get install redis-server");
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
            .expect("these tests need the program `redis-cli`: apt-get install redis-tools");
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
