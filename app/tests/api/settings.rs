//! The command line, and settings that the binary refuses.

use std::{
    os::unix::net::UnixListener,
    process::{Command, Output},
};

use crate::service::{self, BINARY, KEY, Service};

fn run(arguments: &[&str], changes: &[(&'static str, &str)]) -> Output {
    let directory = tempfile::tempdir().expect("directory");
    let mut environment = service::environment(directory.path());
    environment.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Command::new(BINARY).args(arguments).env_clear().envs(environment).output().expect("ran")
}

#[test]
fn check_says_whether_the_settings_are_good() {
    let good = run(&["--check"], &[]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert!(String::from_utf8_lossy(&good.stdout).contains("good"));
    assert!(!format!("{good:?}").contains("planted"), "{good:?}");
    let bad = run(&["--check"], &[("SECRET_KEY", "planted-too-short")]);
    assert_eq!(bad.status.code(), Some(1));
    let text = String::from_utf8_lossy(&bad.stderr);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("`SECRET_KEY`") && text.contains("32"), "{text}");
}

#[test]
fn it_refuses_to_start_with_a_bad_setting() {
    for (name, value) in [
        ("SECRET_KEY", "planted-too-short"),
        ("API_USERS", "admin:planted"),
        ("REDIS_URL", "planted"),
        ("WORKERS", "none"),
    ] {
        let output = run(&[], &[(name, value)]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(&format!("`{name}`")) && !text.contains("planted"), "{text}");
    }
}

#[test]
fn arguments_are_few() {
    let version = run(&["--version"], &[]);
    assert_eq!(String::from_utf8_lossy(&version.stdout), "flask-app 0.1.0\n");
    assert_eq!(run(&["--help"], &[]).status.code(), Some(0));
    assert_eq!(run(&["--nonsense"], &[]).status.code(), Some(2));
}

#[test]
fn a_socket_that_is_taken_is_left_alone() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("taken.sock");
    let taken = UnixListener::bind(&path).expect("socket");
    let output = run(&[], &[("SOCKET", path.to_str().expect("path"))]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another process"), "{output:?}");
    drop(taken);
    let file = directory.path().join("file");
    std::fs::write(&file, "kept").expect("written");
    let output = run(&[], &[("SOCKET", file.to_str().expect("path"))]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a socket"), "{output:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "kept");
}

#[test]
fn the_key_may_come_as_a_credential() {
    let directory = tempfile::tempdir().expect("directory");
    std::fs::write(directory.path().join("secret-key"), KEY).expect("written");
    let path = directory.path().to_str().expect("path");
    let mut service = Service::with(&[("SECRET_KEY", ""), ("CREDENTIALS_DIRECTORY", path)]);
    service.start_redis();
    let bearer = format!("Bearer {}", service.token());
    assert_eq!(service.count(&bearer).status, 200);
}

#[test]
fn its_own_socket_is_open_to_its_group_only() {
    use std::os::unix::fs::PermissionsExt;
    let service = Service::without_redis();
    let mode = std::fs::metadata(&service.socket).expect("socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn users_survive_a_file_of_settings() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("env");
    let settings = format!("SECRET_KEY={KEY}\nAPI_USERS='{}'\n", *service::USERS);
    std::fs::write(&file, settings).expect("written");
    let output = Command::new("sh")
        .args(["-c", "set -a; . \"$1\"; exec \"$0\" --check", BINARY])
        .arg(&file)
        .output()
        .expect("ran");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 users"), "{output:?}");
}
