//! What the settings take and refuse, and that no refusal shows a secret.

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$Y2hhbmdlbWVub3dwbHM$WWjtLBpYS0KZ0PBxLoqXgUxGp4mCGxYvW7JyZCWDeGs";

fn read(changes: &[(&'static str, &str)]) -> std::result::Result<Settings, String> {
    let users = format!("admin:{HASH} second:{HASH}");
    Settings::read(&|name| {
        let given = changes.iter().find(|(variable, _)| *variable == name);
        Ok(match (given, name) {
            (Some((_, value)), _) => Some((*value).to_owned()),
            (None, "SECRET_KEY") => Some(KEY.to_owned()),
            (None, "API_USERS") => Some(users.clone()),
            _ => None,
        })
    })
    .map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let settings = read(&[]).expect("good");
    assert_eq!(settings.token_ttl, Duration::from_hours(1));
    assert_eq!(settings.log_level, Level::Info);
    assert_eq!(settings.socket, PathBuf::from("/run/gunicorn/flask.sock"));
    assert_eq!(settings.users.len(), 2);
    assert!(settings.workers >= 1);
    assert!(!settings.summary().contains(KEY));
}

#[test]
fn a_bad_setting_is_named_and_never_shown_when_secret() {
    let secret = "s3cr3t-planted";
    let url = format!("http://:{secret}@127.0.0.1");
    let user = format!("admin:{secret}");
    let short = format!("{secret}-x");
    for (variable, value) in [
        ("SECRET_KEY", short.as_str()),
        ("SECRET_KEY", ""),
        ("SECRET_KEY_ALSO", short.as_str()),
        ("REDIS_URL", &url),
        ("API_USERS", &user),
        ("API_USERS", secret),
        ("API_USERS", " "),
        ("TOKEN_TTL", "0"),
        ("TOKEN_TTL", "-1"),
        ("TOKEN_TTL", "1h"),
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("LOG_LEVEL", "loud"),
    ] {
        let message = read(&[(variable, value)]).err().expect(variable);
        assert!(message.contains(&format!("`{variable}`")), "{message}");
        assert!(!message.contains(secret), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_key_in_the_credentials_directory_goes_first() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().to_str().expect("path");
    let settings = read(&[("CREDENTIALS_DIRECTORY", path)]).expect("good");
    assert_eq!(settings.secret_key.reveal(), KEY.as_bytes());
    let key = "another key that has enough bytes";
    std::fs::write(directory.path().join("secret-key"), format!("{key}\n")).expect("written");
    let settings = read(&[("CREDENTIALS_DIRECTORY", path)]).expect("good");
    assert_eq!(settings.secret_key.reveal(), key.as_bytes());
}

#[test]
fn a_socket_goes_before_the_address_and_keeps_the_password() {
    let url = ("REDIS_URL", "redis://:s3cr3t@127.0.0.1:6379/2");
    let settings = read(&[url, ("REDIS_SOCKET", "/run/redis.sock")]).expect("good");
    assert_eq!(*settings.redis.addr(), ConnectionAddr::Unix("/run/redis.sock".into()));
    assert_eq!(settings.redis.redis_settings().password(), Some("s3cr3t"));
    assert_eq!(settings.redis.redis_settings().db(), 2);
}
