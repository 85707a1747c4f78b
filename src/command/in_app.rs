//! `hwctl in-app APP -- PROGRAM ARGUMENT…`: on the host, as root, becomes a program that runs as an app does. Its secrets are
//! read where the app reads them, and are in no argument. Not for people.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cli::InAppArgs;
use crate::command::on_host::this_host;
use crate::engine::kept_parts;
use crate::failure::{Exit, Failure};
use crate::resource::container::LAUNCHER;
use crate::spec::ProbeKind;

/// What of a unit is about how its own program starts and ends, and not about what a program may do there.
const OF_ITS_PROGRAM: [&str; 9] = [
    "Type",
    "ExecStart",
    "Restart",
    "RestartSec",
    "KillMode",
    "TimeoutStopSec",
    "RuntimeDirectory",
    "RuntimeDirectoryMode",
    "StandardInput",
];

/// Runs `hwctl in-app`.
pub fn run(args: &InAppArgs) -> Result<Exit> {
    let mut parts = kept_parts(&this_host())?.into_iter();
    let part = parts.find(|part| part.is_app && part.name == args.app);
    let part = part.ok_or_else(|| {
        Failure::new(Exit::Failed, format!("the host has no app `{}`", args.app))
            .hint(format!("`hwctl provision --only {}` brings it", args.app))
    })?;
    let mut probes = part.probes.iter();
    let error = probes.find_map(|probe| match &probe.kind {
        ProbeKind::Unit if probe.name.ends_with(".service") && !is_docker(&probe.name) => {
            Some(beside_unit(&probe.name, &args.command))
        }
        ProbeKind::Container(name) => Some(in_container(name, &args.command)),
        _ => None,
    });
    error.unwrap_or_else(|| bail!("nothing is known of how `{}` runs", args.app))
}

fn is_docker(unit: &str) -> bool {
    unit == "docker.service"
}

/// A service of its own with all that the unit's may do.
fn beside_unit(unit: &str, command: &[String]) -> Result<Exit> {
    let path = Path::new("/etc/systemd/system").join(unit);
    let text = fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    let mut run = Command::new("systemd-run");
    run.args(["--quiet", "--pipe", "--wait", "--collect", "--service-type=exec"]);
    for property in properties(&text) {
        run.args(["-p", property]);
    }
    // systemd takes a path only as a whole.
    let mut words = command.to_vec();
    let folder = properties(&text).find_map(|property| property.strip_prefix("WorkingDirectory="));
    if let (Some(program), Some(folder)) = (words.first_mut(), folder)
        && program.contains('/')
        && !program.starts_with('/')
    {
        *program = Path::new(folder).join(&*program).display().to_string();
    }
    Err(run.arg("--").args(words).exec()).context("run `systemd-run`")
}

/// The lines of a unit file that say what its service may do.
fn properties(text: &str) -> impl Iterator<Item = &str> {
    let service = text.split_once("\n[Service]\n").map_or("", |(_, rest)| rest);
    let service = service.split("\n[").next().unwrap_or_default();
    let is_property = |line: &&str| {
        line.split_once('=')
            .is_some_and(|(key, _)| !key.starts_with('#') && !OF_ITS_PROGRAM.contains(&key))
    };
    service.lines().filter(is_property)
}

fn in_container(name: &str, command: &[String]) -> Result<Exit> {
    let launcher = Command::new("docker")
        .args(["inspect", "-f", "{{index .Config.Entrypoint 0}}", name])
        .output()
        .context("run `docker`")?;
    let mut run = Command::new("docker");
    run.args(["exec", name]);
    // Only what it starts has the secrets.
    if String::from_utf8_lossy(&launcher.stdout).trim() == LAUNCHER {
        run.arg(LAUNCHER);
    }
    Err(run.args(command).exec()).context("run `docker`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_do_what_the_unit_may_do() {
        let text = "[Unit]\nDescription=x\n\n[Service]\nType=exec\nExecStart=/x\nUser=app-shop\n# No more.\n\
                    EnvironmentFile=/etc/x.env\nMemoryMax=64M\n\n[Install]\nWantedBy=x\n";

        let found: Vec<_> = properties(text).collect();

        assert_eq!(found, ["User=app-shop", "EnvironmentFile=/etc/x.env", "MemoryMax=64M"]);
    }
}
