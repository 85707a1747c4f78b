//! `hwctl watch`: looks whether hosts can be reached, and tells by their own channels of those that cannot. What is
//! wrong inside of a host, the host tells itself (`host`).

pub mod host;
mod secrets;
pub mod test;

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::process::Command;
use tokio::time::sleep;

use crate::cli::WatchArgs;
use crate::command::fleet::hosts::{self, Work};
use crate::failure::{Exit, Failure};
use crate::part::{Kinds, WATCH, watch_settings};
use crate::remote::{Engine, interrupt};
use crate::report::{json_text, print, print_error};
use crate::spec::Scope;
use crate::watch::{Curl, Fault, Incidents, Message, Queue, Rules, Settings};

/// A host that cannot be reached is tried once more after this, before it counts as down.
const CONFIRM: Duration = Duration::from_secs(5);

/// A host that is watched from here.
struct Watched {
    work: Work,
    settings: Settings,
    incidents: Incidents,
    queue: Queue,
    is_down: bool,
}

/// Runs `hwctl watch` until Ctrl-C. The exit code is that of the last look.
pub fn run(kinds: Kinds, args: &WatchArgs) -> Result<Exit> {
    let needs = match args.notify {
        true => Scope::Only(vec![WATCH.to_owned()]),
        false => hosts::nothing(),
    };
    let works = hosts::find(kinds, &args.hosts.and(&args.named), &needs, print_error)?;
    let mut watched = Vec::new();
    for work in works {
        watched.push(Watched::new(work, args)?);
    }
    if args.notify && watched.iter().all(|host| host.settings.channels.is_empty()) {
        return Err(Failure::usage("none of the hosts has `notify`, so nobody can be told")
            .not_done("no host was contacted")
            .hint("add `notify: [{ webhook: URL }]` to the inventory, or leave out `--notify`")
            .into());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(watch(watched, args))
}

async fn watch(mut hosts: Vec<Watched>, args: &WatchArgs) -> Result<Exit> {
    interrupt::listen(|| (), || ())?;
    // Mails lie there on their way out.
    let folder = tempfile::tempdir()?;
    let command = || Box::new(|| Command::new("curl"));
    for round in 1_u64.. {
        let looks = hosts.iter_mut().map(|host| {
            let curl = Curl { command: command(), folder: folder.path().to_owned() };
            async move { host.look(&curl, args.json).await }
        });
        tokio::select! {
            () = interrupt::wanted() => break,
            _ = join_all(looks) => {}
        }
        if args.rounds == Some(round) {
            break;
        }
        tokio::select! {
            () = interrupt::wanted() => break,
            () = sleep(Duration::from_secs(args.every.into())) => {}
        }
    }
    let is_any_down = hosts.iter().any(|host| host.is_down);
    Ok(if is_any_down { Exit::Unreachable } else { Exit::Done })
}

impl Watched {
    fn new(work: Work, args: &WatchArgs) -> Result<Self, Failure> {
        let name = work.target.name.clone();
        let settings = match args.notify {
            true => watch_settings(&work.vars, &name)?,
            false => Settings::silent(&name),
        };
        // How often it is looked at from here is another matter than how often the host looks.
        let settings = Settings { every_s: args.every, ..settings };
        let (incidents, queue) = (Incidents::default(), Queue::default());
        Ok(Self { work, settings, incidents, queue, is_down: false })
    }

    /// Looks once, and tells what is new.
    async fn look(&mut self, curl: &Curl, json: bool) {
        let mut down = self.unreachable().await;
        if down.is_some() && !self.incidents.is_open(UNREACHABLE) {
            sleep(CONFIRM).await;
            down = self.unreachable().await;
        }
        self.is_down = down.is_some();
        let now = Timestamp::now().as_second();
        let Settings { host, every_s, remind_s, channels, .. } = &self.settings;
        let seen = Vec::from_iter(down);
        let rules = Rules::new(*every_s, *remind_s);
        let messages = self.incidents.take_in(host, &seen, now, rules);
        let messages: Vec<_> = messages.into_iter().map(Message::harmless).collect();
        for message in &messages {
            print(&if json { json_text(&message.json()).into_owned() } else { message.line() });
        }
        let ids: Vec<_> = channels.iter().map(|channel| channel.id.as_str()).collect();
        self.queue.push(messages, &ids, now);
        self.queue.tidy(&ids, now);
        for delivery in curl.deliver(&self.queue, &self.settings, now).await {
            self.queue.settle(&delivery, now);
            if let Some(error) = &delivery.error {
                print_error(&format!(
                    "{host}: {} did not take the message: {error}",
                    delivery.channel
                ));
            }
        }
    }

    /// Why the host cannot be reached. None where it can.
    async fn unreachable(&self) -> Option<Fault> {
        match Engine::start(&self.work.target, &|_| ()).await {
            Ok(engine) => {
                engine.let_go().await;
                None
            }
            // A host that refuses to work is there.
            Err(failure) if failure.exit != Exit::Unreachable => None,
            Err(failure) => Some(Fault {
                id: UNREACHABLE.to_owned(),
                summary: failure.what,
                details: failure.why,
                next: failure.hint.unwrap_or_else(|| "look at the console of the host".to_owned()),
                is_symptom: false,
                began: None,
            }),
        }
    }
}

/// What the fault is known by.
const UNREACHABLE: &str = "unreachable";
