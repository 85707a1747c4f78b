//! `hwctl watch-host`: on the host, as a timer starts it, one look of the host at itself. Tells of what is new by the
//! channels of the inventory.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use tokio::time::sleep;

use super::secrets;
use crate::cli::WatchHostArgs;
use crate::command::on_host::this_host;
use crate::engine::{
    Alarm, Diagnosed, Drivers, SelfExamination, alarms, examine_self, is_held, status,
};
use crate::event::Check;
use crate::failure::{Exit, Failure};
use crate::part::{Kinds, WATCH};
use crate::report::print;
use crate::resource::{Host, pending_security_updates, security_lists_version};
use crate::watch::{
    Amount, Curl, Fault, Message, Rules, SETTINGS, STATE_FOLDER, Settings, State, read_state,
    write_state,
};

/// What is new has to be seen twice, so far apart: a service that somebody restarts is no fault.
const CONFIRM: Duration = Duration::from_secs(4);
/// A channel that fails for so long is told by the others.
const CHANNEL_S: i64 = 600;

/// Runs `hwctl watch-host`.
pub fn run(kinds: Kinds, args: &WatchHostArgs) -> Result<Exit> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::usage("`watch-host` is for root on the host itself").into());
    }
    let host = this_host();
    let settings = Settings::read(&host.path(Path::new(SETTINGS)))?;
    let now = args.now.unwrap_or_else(|| Timestamp::now().as_second());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.test {
            true => Ok(super::test::on_host(&settings, now).await),
            false => look(&host, &settings, now, kinds.drivers()).await,
        }
    })
}

/// How curl is started on this host.
pub(super) fn curl() -> Curl {
    Curl { command: Box::new(|| this_host().command("curl")), folder: STATE_FOLDER.into() }
}

async fn look(host: &Host, settings: &Settings, now: i64, drivers: Drivers) -> Result<Exit> {
    let folder = host.path(Path::new(STATE_FOLDER));
    let lock = File::open(&folder).with_context(|| format!("open `{STATE_FOLDER}`"))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        print("another look is under way");
        return Ok(Exit::Done);
    }
    let mut state = read_state(host);
    let ids: Vec<_> = settings.channels.iter().map(|channel| channel.id.as_str()).collect();
    state.queue.tidy(&ids, now);
    match seen(host, &mut state, settings, now, drivers).await {
        None => print("a run is under way: nothing was looked at"),
        Some(faults) => {
            let rules = Rules::new(settings.every_s, settings.remind_s);
            let messages = state.incidents.take_in(&settings.host, &faults, now, rules);
            let messages: Vec<_> = messages.into_iter().map(Message::harmless).collect();
            for message in &messages {
                print(&message.line());
            }
            state.queue.push(messages, &ids, now);
            state.looked_at = Some(now);
        }
    }
    if !folder.is_dir() {
        print("a run has ended the watch of this host");
        return Ok(Exit::Done);
    }
    // What is new is written down before anybody hears of it.
    write_state(host, &state)?;
    for delivery in curl().deliver(&state.queue, settings, now).await {
        state.queue.settle(&delivery, now);
        if let Some(error) = &delivery.error {
            print(&format!("{} did not take a message: {error}", delivery.channel));
        }
    }
    state.heartbeat_error = heartbeat(&state, settings).await.err();
    write_state(host, &state)?;
    Ok(Exit::Done)
}

/// Says to an outside watcher that all is well, or that somebody was told of what is not.
async fn heartbeat(state: &State, settings: &Settings) -> Result<(), String> {
    let Some(url) = &settings.heartbeat else { return Ok(()) };
    let is_told = state.queue.failing().count() < settings.channels.len();
    if is_told || (settings.channels.is_empty() && state.incidents.open().is_empty()) {
        return curl().ping(url).await;
    }
    print("no heartbeat: nobody was told of what is wrong");
    Ok(())
}

/// What is wrong, the cause first. None while a run changes the host.
async fn seen(
    host: &Host,
    state: &mut State,
    settings: &Settings,
    now: i64,
    drivers: Drivers,
) -> Option<Vec<Fault>> {
    let first = examine(host, drivers).await?;
    note(&first, host, state, now).await;
    let causes = async || Some(causes(&examine(host, drivers).await?, state, settings, now));
    let is_news = |fault: &Fault| !state.incidents.is_open(&fault.id);
    let mut faults = self::causes(&first, state, settings, now);
    if faults.iter().any(is_news) {
        sleep(CONFIRM).await;
        faults = in_both(causes().await?, &faults, is_news);
    }
    // The causes come first: a page that is asked for may start what does not run.
    let mut symptoms = symptoms(host, drivers).await?;
    if symptoms.iter().any(is_news) && !faults.iter().any(is_news) {
        sleep(CONFIRM).await;
        let late = causes().await?;
        symptoms = in_both(self::symptoms(host, drivers).await?, &symptoms, is_news);
        // What has caused them may have begun after it was looked for.
        let is_explained = symptoms.iter().any(is_news);
        faults = late.into_iter().filter(|cause| is_explained || !is_news(cause)).collect();
    }
    faults.append(&mut symptoms);
    if faults.is_empty() {
        return Some(faults);
    }
    let secrets = secrets::known(host, settings);
    Some(faults.into_iter().map(|fault| fault.without(&secrets)).collect())
}

/// What was seen again, or was known.
fn in_both(again: Vec<Fault>, first: &[Fault], is_news: impl Fn(&Fault) -> bool) -> Vec<Fault> {
    let is_meant = |fault: &Fault| !is_news(fault) || first.iter().any(|it| it.id == fault.id);
    again.into_iter().filter(is_meant).collect()
}

async fn examine(host: &Host, drivers: Drivers) -> Option<SelfExamination> {
    if is_held(host) {
        return None;
    }
    let found = examine_self(host, drivers).await;
    // A run that began meanwhile may be what was seen.
    (!is_held(host)).then_some(found)
}

/// The checks of `status` that fail, and the alerts that fire.
async fn symptoms(host: &Host, drivers: Drivers) -> Option<Vec<Fault>> {
    let checks = status(host, &[], drivers).await.checks;
    // What the check of the watch says is told by `status`: a message about messages may not arrive.
    let checks = checks.iter().filter(|Check { name, .. }| name != WATCH);
    let mut faults: Vec<_> = checks.filter_map(Fault::of_check).collect();
    faults.extend(alarms(host, drivers).await.into_iter().map(of_alarm));
    (!is_held(host)).then_some(faults)
}

/// Notes what shows over time.
async fn note(seen: &SelfExamination, host: &Host, state: &mut State, now: i64) {
    let spaces = seen.spaces.iter().map(|space| {
        let amount = Amount { at: now, bytes: space.free_bytes, inodes: space.free_inodes };
        (space.mount.clone(), amount)
    });
    state.samples.note_disks(spaces.collect());
    state.samples.note_restarts(&seen.restarts, now);
    let version = security_lists_version(host);
    if state.samples.lacks_updates(&version) {
        // Lists that cannot be read now are read at the next look.
        if let Ok(pending) = pending_security_updates(host).await {
            state.samples.note_updates(version, pending, now);
        }
    }
}

fn causes(seen: &SelfExamination, state: &State, settings: &Settings, now: i64) -> Vec<Fault> {
    let mut faults = match &seen.findings {
        Ok(found) => {
            let fault = |it: &Diagnosed| Fault::of_finding(it.about.as_deref(), &it.finding);
            found.iter().map(fault).collect()
        }
        Err(failure) => vec![of_failure(failure)],
    };
    let limits = (settings.disk_hours, settings.security_updates);
    faults.extend(state.samples.faults(limits, now, |id| state.incidents.is_open(id)));
    faults.extend(silent_channels(state, settings, now));
    faults
}

/// An alert says what is seen and not why, as a check does.
fn of_alarm(alarm: Alarm) -> Fault {
    let Alarm { id, summary, details, next, since } = alarm;
    Fault { id, summary, details, next, is_symptom: true, began: since }
}

fn of_failure(failure: &Failure) -> Fault {
    let next = failure.hint.clone();
    Fault {
        id: "examination".to_owned(),
        summary: format!("the host cannot be examined: {}", failure.what),
        details: failure.why.clone(),
        next: next.unwrap_or_else(|| "`hwctl doctor` may say more".to_owned()),
        is_symptom: false,
        began: None,
    }
}

/// The channels that fail, as long as another one does not.
fn silent_channels(state: &State, settings: &Settings, now: i64) -> Vec<Fault> {
    let failing: Vec<_> = state.queue.failing().collect();
    if failing.len() >= settings.channels.len() {
        return Vec::new();
    }
    let fault = |(id, why, since): (&str, &str, i64)| {
        let channel = settings.channels.iter().find(|channel| channel.id == id)?;
        (now - since >= CHANNEL_S).then(|| Fault {
            id: format!("channel/{id}"),
            summary: format!("messages by {} do not arrive: {why}", channel.label()),
            details: Vec::new(),
            next: "`hwctl notify test` tries all channels".to_owned(),
            is_symptom: false,
            began: None,
        })
    };
    failing.into_iter().filter_map(fault).collect()
}
