//! What systemd says of units.
//!
//! `systemctl show` fetches some two hundred properties of each unit to print seven: 3 ms a unit, and
//! 5 to start. So systemd is asked for just those on its own socket, all in one write; where that is
//! not to be had, by `systemctl` after all.

mod wire;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::task::spawn_blocking;

use crate::resource::host::Host;
use wire::{Call, Reply};

/// Where systemd answers to root without a bus between, as `systemctl` knows.
const SOCKET: &str = "/run/systemd/private";
/// So long an answer may take before `systemctl` is asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// The properties of every unit; others belong to its type.
const OF_ALL: [&str; 8] = [
    "ActiveEnterTimestampMonotonic",
    "ActiveState",
    "InvocationID",
    "LoadState",
    "NeedDaemonReload",
    "StateChangeTimestampMonotonic",
    "SubState",
    "UnitFileState",
];

/// Properties of units as `systemctl show` prints them: a line `NAME=VALUE` for each that a unit
/// has, and an empty line between units.
pub async fn show(
    host: &Host,
    units: &[impl AsRef<str>],
    properties: &'static [&'static str],
) -> Result<String> {
    let names: Vec<_> = units.iter().map(|unit| unit.as_ref().to_owned()).collect();
    let socket = host.path(Path::new(SOCKET));
    // On a thread of its own: it answers while the files are read.
    if let Ok(shown) = spawn_blocking(move || ask(&socket, &names, properties)).await? {
        return Ok(shown);
    }
    let property = format!("--property={}", properties.join(","));
    let mut args = vec!["show", &property];
    args.extend(units.iter().map(AsRef::as_ref));
    host.run("systemctl", &args).await
}

/// Lets systemd read the files of units anew if one is newer than what it has read; says whether it
/// did. To know it systemd looks at some hundred places, which a plan need not wait for. It keeps a unit that
/// has failed after its file is gone, and does not notice that the file is back.
pub async fn reload_systemd_if_stale(host: &Host, units: &[impl AsRef<str>]) -> Result<bool> {
    let shown = show(host, units, &["NeedDaemonReload", "LoadState"]).await?;
    let is_stale =
        shown.lines().any(|line| ["NeedDaemonReload=yes", "LoadState=not-found"].contains(&line));
    if is_stale {
        reload_systemd(host).await?;
    }
    Ok(is_stale)
}

/// Lets systemd read the files of all units anew, which takes it 0.15 s.
pub(in crate::resource) async fn reload_systemd(host: &Host) -> Result<()> {
    host.run("systemctl", &["daemon-reload"]).await?;
    host.owe_reload(false);
    Ok(())
}

/// Lets systemd read all units where some were enabled since it last did: they start without that, but
/// their targets do not know yet that they want them.
pub async fn reload_systemd_if_owed(host: &Host) {
    if host.owes_reload() {
        // A boot reads them as well.
        let _ = reload_systemd(host).await;
    }
}

fn ask(socket: &Path, units: &[String], properties: &[&str]) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(wire::LOGIN)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut welcome = String::new();
    answers.read_line(&mut welcome)?;
    if !welcome.starts_with("OK ") {
        bail!("systemd refuses the login");
    }
    let mut calls = Vec::new();
    for unit in units {
        for property in properties {
            let path = object_path(unit);
            let interface = interface(unit, property);
            calls.push(Call { path, interface, property });
        }
    }
    // Not before the welcome: of what comes with the login systemd takes no notice until more comes.
    stream.write_all(&wire::messages(&calls)?)?;
    let mut values = vec![None; calls.len()];
    let mut waiting = calls.len();
    while waiting > 0 {
        let mut head = [0; wire::HEAD];
        answers.read_exact(&mut head)?;
        let mut message = head.to_vec();
        message.resize(wire::size(&head)?, 0);
        answers.read_exact(&mut message[wire::HEAD..])?;
        if let Some(Reply { call, value }) = Reply::parse(&message)? {
            *values.get_mut(call).context("an answer to nothing")? = value;
            waiting -= 1;
        }
    }
    Ok(text(&values, properties))
}

/// As `systemctl` prints it.
fn text(values: &[Option<String>], properties: &[&str]) -> String {
    let mut text = String::new();
    for values in values.chunks(properties.len().max(1)) {
        for (property, value) in properties.iter().zip(values) {
            if let Some(value) = value {
                let _ = writeln!(text, "{property}={value}");
            }
        }
        text.push('\n');
    }
    text
}

fn interface(unit: &str, property: &str) -> String {
    let kind = if OF_ALL.contains(&property) {
        "Unit".to_owned()
    } else {
        let suffix = unit.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        suffix[..suffix.len().min(1)].to_uppercase() + suffix.get(1..).unwrap_or_default()
    };
    format!("org.freedesktop.systemd1.{kind}")
}

/// Where systemd has a unit: what is no letter or digit is `_` and two hex digits.
fn object_path(unit: &str) -> String {
    let mut path = "/org/freedesktop/systemd1/unit/".to_owned();
    for (place, byte) in unit.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => path.push(byte.into()),
            b'0'..=b'9' if place > 0 => path.push(byte.into()),
            _ => {
                let _ = write!(path, "_{byte:02x}");
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_its_path_and_interfaces() {
        assert_eq!(
            object_path("7flask-app.socket"),
            "/org/freedesktop/systemd1/unit/_37flask_2dapp_2esocket"
        );
        assert_eq!(interface("a.socket", "SubState"), "org.freedesktop.systemd1.Unit");
        assert_eq!(interface("a.socket", "MemoryCurrent"), "org.freedesktop.systemd1.Socket");
        assert_eq!(interface("a", "NRestarts"), "org.freedesktop.systemd1.");
    }

    #[test]
    fn it_looks_like_systemctl_show() {
        let values = [Some("active".to_owned()), None, Some("failed".to_owned()), Some("2".into())];
        let expected = "ActiveState=active\n\nActiveState=failed\nNRestarts=2\n\n";
        assert_eq!(text(&values, &["ActiveState", "NRestarts"]), expected);
    }
}
