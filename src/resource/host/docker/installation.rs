//! How Docker is installed and set up, as its files say: what keeps hwctl's container from running there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value};

use super::{Daemon, daemon};
use crate::resource::host::units::unit_is_on;
use crate::resource::host::{Host, last_lines};
use crate::resource::model::hint::Advise;

const SETTINGS: &str = "/etc/docker/daemon.json";
const SNAP: &str = "/snap/bin/docker";
/// Where Docker's program is when packages have installed it.
const PROGRAMS: [&str; 2] = ["/usr/sbin/dockerd", "/usr/bin/dockerd"];
/// Where the unit of the service may be, the strongest first.
const UNITS: [&str; 4] = [
    "/etc/systemd/system/docker.service",
    "/run/systemd/system/docker.service",
    "/usr/lib/systemd/system/docker.service",
    "/lib/systemd/system/docker.service",
];
const DROP_INS: [&str; 2] =
    ["/etc/systemd/system/docker.service.d", "/usr/lib/systemd/system/docker.service.d"];
/// What the service needs besides itself.
const NEEDED: [&str; 2] = ["docker.socket", "containerd.service"];
/// How packages start it.
const PACKAGED: &str = "dockerd -H fd://";

/// Refuses what hwctl's container cannot run on.
pub(in crate::resource) async fn require_usable(host: &Host) -> Result<()> {
    let runs = matches!(daemon(host).await?, Daemon::Up(_));
    let command = start_command(host);
    require_settings(host, &command, runs)?;
    match program(host) {
        Some(program) if !runs => validate(host, &program, &command).await,
        _ => Ok(()),
    }
}

/// The same as far as its files say. Settings that it runs with go together.
fn require_settings(host: &Host, command: &str, runs: bool) -> Result<()> {
    if program(host).is_none() && host.path(Path::new(SNAP)).exists() {
        return Err(anyhow!("Docker is installed as a snap, which has its own paths and service")).hint(
            "hwctl needs Docker from packages, and the two cannot run beside each other. Move what runs \
             in the snap first (`snap list docker`), or leave out the parts that need containers \
             with `--skip`",
        );
    }
    let settings = settings(host)?;
    let remap = settings.get("userns-remap").is_some_and(|users| users != "");
    if remap || command.contains("--userns-remap") {
        let place = if remap { SETTINGS } else { "docker.service" };
        return Err(anyhow!(
            "`userns-remap` in `{place}` gives containers other users than the host's"
        ))
        .hint(
            "a container cannot read its configuration and its data with it. Remove the setting if \
             nothing needs it, or leave out the parts that need containers with `--skip`",
        );
    }
    if let Some(unit) = NEEDED.iter().find(|unit| !runs && is_masked(host, unit)) {
        return Err(anyhow!("`{unit}` is masked, and Docker does not start without it"))
            .hint(format!("`systemctl unmask {unit}` on the host lets Docker start again"));
    }
    if !runs && settings.contains_key("hosts") && has_hosts(command) {
        return Err(anyhow!(
            "`hosts` in `{SETTINGS}` and `-H` in the command of `docker.service` exclude each other: \
             Docker does not start with both"
        ))
        .hint(format!(
            "remove `hosts` from `{SETTINGS}`, or replace the command in a drop-in \
             (`systemctl edit docker.service`)"
        ));
    }
    Ok(())
}

/// What the operator should know of the host's Docker, although hwctl can use it.
pub(in crate::resource) async fn concern(host: &Host) -> Option<String> {
    if program(host).is_some() && matches!(daemon(host).await, Ok(Daemon::Down | Daemon::Absent)) {
        let is_on = unit_is_on(host, "docker.service").await.unwrap_or(true)
            || unit_is_on(host, "docker.socket").await.unwrap_or(true);
        if !is_on {
            return Some(
                "Docker is installed and switched off. This run switches it on, which also starts the \
                 containers that restart by themselves"
                    .to_owned(),
            );
        }
    }
    let users = rootless(host);
    (!users.is_empty()).then(|| {
        format!(
            "Docker also runs without root for {}: hwctl leaves it alone, and its containers are not in \
             the host's own Docker",
            users.join(", ")
        )
    })
}

/// The last line that Docker itself wrote to the log, which says why it does not run.
pub(super) async fn last_words(host: &Host) -> Option<String> {
    // Not `-u`: that includes what systemd says of the service, such as "Failed to start".
    let args = ["_SYSTEMD_UNIT=docker.service", "-n", "1", "-o", "cat", "--no-pager"];
    let output = host.output("journalctl", &args).await.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn program(host: &Host) -> Option<PathBuf> {
    PROGRAMS.iter().map(|path| host.path(Path::new(path))).find(|path| path.exists())
}

fn is_masked(host: &Host, unit: &str) -> bool {
    let path = host.path(&Path::new("/etc/systemd/system").join(unit));
    fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

fn settings(host: &Host) -> Result<Map<String, Value>> {
    let Ok(text) = fs::read(host.path(Path::new(SETTINGS))) else { return Ok(Map::new()) };
    if text.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&text)
        .map_err(|error| anyhow!("{error}").context(format!("`{SETTINGS}` is no JSON object")))
        .hint(format!("mend `{SETTINGS}` on the host: Docker does not start with it either"))
}

/// The command that starts the service, from its unit and drop-ins.
fn start_command(host: &Host) -> String {
    let read = |path: &Path| fs::read_to_string(host.path(path)).unwrap_or_default();
    let unit = UNITS.iter().map(|path| read(Path::new(path))).find(|text| !text.is_empty());
    let mut texts = vec![unit.unwrap_or_else(|| format!("ExecStart={PACKAGED}"))];
    for folder in DROP_INS {
        let entries = fs::read_dir(host.path(Path::new(folder))).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        texts.extend(paths.iter().filter_map(|path| fs::read_to_string(path).ok()));
    }
    let text = texts.join("\n").replace("\\\n", " ");
    let mut commands = text.lines().filter_map(|line| line.trim().strip_prefix("ExecStart="));
    // An empty one takes back those before.
    commands.rfind(|command| !command.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

/// Whether the command says where Docker listens.
fn has_hosts(command: &str) -> bool {
    command.split_whitespace().any(|word| {
        word == "-H"
            || word.starts_with("-H=")
            || word.starts_with("--host")
            || word.starts_with("-Hfd:")
    })
}

/// Lets Docker itself check its settings, where it has a command for that and does not run.
async fn validate(host: &Host, program: &Path, command: &str) -> Result<()> {
    let file = host.path(Path::new(SETTINGS));
    if !file.exists() {
        return Ok(());
    }
    let mut dockerd = host.command(&program.to_string_lossy());
    dockerd.arg("--validate").arg("--config-file").arg(&file);
    let words: Vec<_> = command.split_whitespace().skip(1).collect();
    // Variables of the unit are not known here.
    dockerd.args(words.iter().filter(|word| !word.contains('$')));
    let output = dockerd.output().await?;
    let told = last_lines(&output, 2);
    // Before Docker 23 there is no such option.
    if output.status.success() || told.contains("unknown flag") {
        return Ok(());
    }
    if !told.contains("configure the Docker daemon") {
        // It failed for another reason than its settings.
        return Ok(());
    }
    bail!("Docker does not start with `{SETTINGS}`: {told}")
}

/// The users who run a Docker of their own.
fn rootless(host: &Host) -> Vec<String> {
    let passwd = fs::read_to_string(host.path(Path::new("/etc/passwd"))).unwrap_or_default();
    let users = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?);
        let socket = host.path(Path::new("/run/user")).join(uid).join("docker.sock");
        socket.exists().then(|| format!("`{name}`"))
    });
    users.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = Host::new(root.path(), Box::new(|_| bail!("no blobs")), Box::new(|_| ()));
        (root, host)
    }

    fn required(host: &Host) -> Result<()> {
        require_settings(host, &start_command(host), false)
    }

    #[test]
    fn what_redis_cannot_run_on_is_refused() {
        let hosts = (SETTINGS, r#"{"hosts": ["unix:///var/run/docker.sock"]}"#);
        let unit = (
            "/etc/systemd/system/docker.service",
            "[Service]\nExecStart=/usr/sbin/dockerd \\\n  -H fd://\n",
        );
        for (files, named) in [
            (vec![(SNAP, "")], "as a snap"),
            (vec![(SETTINGS, r#"{"userns-remap": "default"}"#)], "userns-remap"),
            (vec![(UNITS[0], "ExecStart=dockerd --userns-remap=default")], "userns-remap"),
            (vec![hosts], "exclude each other"),
            (vec![hosts, unit], "exclude each other"),
            (vec![(SETTINGS, "{,}")], "is no JSON object"),
        ] {
            let (_root, host) = host_with(&files);

            let error = required(&host).expect_err(named);

            assert!(format!("{error:#}").contains(named), "{error:#}");
        }
    }

    #[test]
    fn a_mask_on_what_docker_needs_is_refused() {
        let (root, host) = host_with(&[("/etc/systemd/system/docker.service", "")]);
        let mask = root.path().join("etc/systemd/system/docker.socket");
        std::os::unix::fs::symlink("/dev/null", mask).unwrap();

        let error = required(&host).unwrap_err();

        assert!(format!("{error:#}").contains("`docker.socket` is masked"), "{error:#}");
        assert!(require_settings(&host, "", true).is_ok(), "it runs all the same");
    }

    #[test]
    fn what_goes_together_is_no_obstacle() {
        let hosts = (SETTINGS, r#"{"hosts": ["fd://"]}"#);
        let drop_in =
            "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd --containerd=/run/c.sock\n";
        for files in [
            vec![],
            vec![(SETTINGS, " ")],
            vec![(SETTINGS, r#"{"userns-remap": ""}"#)],
            vec![(SETTINGS, r#"{"data-root": "/data"}"#)],
            vec![hosts, ("/etc/systemd/system/docker.service.d/own.conf", drop_in)],
        ] {
            let (_root, host) = host_with(&files);

            required(&host).unwrap();
        }
    }
}
