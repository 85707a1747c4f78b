//! `hwctl notify test`: a message from the host by each of its channels, and what became of it.

use anyhow::Result;

use super::host::curl;
use crate::cli::{NotifyArgs, NotifyCommand, TestArgs};
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{self, Ended, Job, Show};
use crate::event::Outcome;
use crate::failure::{Exit, Failure, Page};
use crate::part::{Kinds, WATCH};
use crate::remote::{Emit, Engine, exec};
use crate::report::print;
use crate::watch::{Message, Settings};

/// Runs `hwctl notify`.
pub fn run(kinds: Kinds, args: NotifyArgs) -> Result<Exit> {
    let NotifyCommand::Test(args) = args.command;
    let show = Show { json: args.json, diff: false, check: false };
    let hosts = args.hosts.and(&args.named);
    fleet::run(kinds, &hosts, show, args)
}

impl Job for TestArgs {
    const CHANGES: bool = false;

    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        if works.iter().any(|work| work.part(WATCH).is_ok()) {
            return Ok(());
        }
        Err(Failure::usage("no host has `notify`, so there is nothing to test")
            .not_done("no host was contacted")
            .hint("add `notify: [{ webhook: URL }]` to the inventory, then `hwctl provision`")
            .page(Page::Inventory))
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        if work.part(WATCH).is_err() {
            return Ok(Outcome::Unchanged.into());
        }
        let engine = Engine::start(&work.target, emit).await?;
        let words =
            [&engine.binary.display().to_string(), "watch-host", "--test"].map(str::to_owned);
        engine.hang_up().await;
        match exec(&work.target, &words, true, emit).await? {
            Some(0) => Ok(Outcome::Answered.into()),
            _ => Err(Failure::new(Exit::Failed, "not every channel took the test message")
                .hint("compare the channel that failed with `notify` of the inventory")),
        }
    }
}

/// On the host: sends the message, and prints a line for each channel.
pub(super) async fn on_host(settings: &Settings, now: i64) -> Exit {
    let message = Message::test(&settings.host, now);
    let mut exit = Exit::Done;
    let mut tell = |label: &str, sent: Result<(), String>| match sent {
        Ok(()) => print(&format!("{label}: delivered")),
        Err(error) => {
            exit = Exit::Failed;
            print(&format!("{label}: {error}"));
        }
    };
    for channel in &settings.channels {
        tell(&channel.label(), curl().send(channel, &message, now).await);
    }
    if let Some(url) = &settings.heartbeat {
        tell("heartbeat", curl().ping(url).await);
    }
    exit
}
