//! systemd's side, played by the test: the socket it hands over, and what it is told.

use std::{
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener},
    },
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{
    client,
    service::{self, BINARY},
};

/// Starts the service as systemd does: the listener as descriptor 3, and the socket to talk to.
fn activate(directory: &Path, listener: &UnixListener) -> Child {
    let listener = OwnedFd::from(listener.try_clone().expect("descriptor"));
    Command::new("sh")
        .args(["-c", "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\"", BINARY])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(service::environment(directory))
        .env("NOTIFY_SOCKET", directory.join("notify"))
        .env("WATCHDOG_USEC", "300000")
        .stdin(Stdio::from(listener))
        .stdout(Stdio::null())
        .spawn()
        .expect("process")
}

fn told(notify: &UnixDatagram) -> String {
    let mut buffer = [0; 512];
    let length = notify.recv(&mut buffer).expect("systemd is told");
    String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
}

#[test]
fn a_new_process_on_the_same_socket_loses_no_request() {
    let directory = tempfile::tempdir().expect("directory");
    let socket = directory.path().join("handed.sock");
    let listener = UnixListener::bind(&socket).expect("socket");
    let notify = UnixDatagram::bind(directory.path().join("notify")).expect("socket");
    notify.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");

    let mut process = activate(directory.path(), &listener);
    assert_eq!(told(&notify), "READY=1");
    assert_eq!(told(&notify), "WATCHDOG=1");
    assert!(!directory.path().join("flask.sock").exists(), "it makes no socket of its own");

    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client::send(&socket, "GET", "/flask/api/ping", &[], b"");
                    assert_eq!(answer.expect("no request is lost").status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(150));
            service::signal(process.id(), "TERM");
            assert!(process.wait().expect("end").success());
            while told(&notify) != "STOPPING=1" {}
            process = activate(directory.path(), &listener);
            while told(&notify) != "READY=1" {}
        }
        thread::sleep(Duration::from_millis(150));
        stop.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) > 100);
    assert!(socket.exists(), "systemd's socket is left alone");
    service::signal(process.id(), "TERM");
    assert!(process.wait().expect("end").success());
}
