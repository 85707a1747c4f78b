//! `hwctl redis`: redis-cli in the container, with the password in nobody's sight.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cli::{RedisArgs, RedisCliArgs};
use crate::command::exec::Exec;
use crate::command::fleet::hosts::{self, Work, require_part};
use crate::command::fleet::{self, Ended, Job, Show};
use crate::command::on_host::this_host;
use crate::engine::host_secret;
use crate::event::Outcome;
use crate::failure::{Exit, Failure};
use crate::part::Redis;
use crate::part::{Kinds, REDIS_PASSWORD};
use crate::remote::{Emit, Engine};
use crate::report::print_error;

/// The part that has Redis.
const PART: &str = "redis";

/// Runs `hwctl redis`: a session on one host, or one command on many.
pub fn run(kinds: Kinds, args: RedisArgs) -> Result<Exit> {
    if !args.command.is_empty() {
        let show = Show { json: args.json, diff: false, check: false };
        let hosts = args.hosts.clone();
        return fleet::run(kinds, &hosts, show, Asking { exec: Exec::new(args.json), args });
    }
    let works = hosts::find(kinds, &args.hosts, &hosts::nothing(), print_error)?;
    let [work] = works.as_slice() else {
        return Err(Failure::usage("a session is on one host")
            .not_done("no host was contacted")
            .hint("name it with `--host`, or give a command: `hwctl redis -- GET visits`")
            .into());
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let words = runtime.block_on(words(work, &[], &|_| ()))?;
    // Ends the session of ssh that the words were made in.
    drop(runtime);
    let words: Vec<_> = work.target.sudo.iter().cloned().chain(words).collect();
    Err(work.target.ssh(&words, true)?.exec().into())
}

/// One command on each host.
struct Asking {
    args: RedisArgs,
    exec: Exec,
}

impl Job for Asking {
    const CHANGES: bool = false;

    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        self.exec.begins(works);
        require_part(works, PART)
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        if work.part(PART).is_err() {
            return Ok(Outcome::Unchanged.into());
        }
        let words = words(work, &self.args.command, emit).await?;
        self.exec.command(work, (&words, &words), true, emit).await
    }
}

/// hwctl's own part on the host, which is put there first if need be.
async fn words(work: &Work, command: &[String], emit: Emit<'_>) -> Result<Vec<String>, Failure> {
    work.part(PART)?;
    let engine = Engine::start(&work.target, emit).await?;
    let binary = engine.binary.display().to_string();
    engine.hang_up().await;
    let head = [
        binary,
        "redis-cli".to_owned(),
        work.vars.get::<Redis>().container.clone(),
        "--".to_owned(),
    ];
    Ok(head.into_iter().chain(command.iter().cloned()).collect())
}

/// On the host, as root: becomes redis-cli in the container. The password is in the environment of
/// processes of root and of Redis alone: an argument could be seen by everybody.
pub fn on_host(args: &RedisCliArgs) -> Result<Exit> {
    use std::io::IsTerminal as _;

    let password = host_secret(&this_host(), REDIS_PASSWORD)?;
    let mut docker = Command::new("docker");
    docker.args(["exec", "--interactive"]);
    if args.command.is_empty() && std::io::stdin().is_terminal() {
        docker.arg("--tty");
    }
    docker.args(["--env", "REDISCLI_AUTH", &args.container, "redis-cli"]).args(&args.command);
    docker.env("REDISCLI_AUTH", password.expose());
    Err(docker.exec()).context("run `docker`")
}
