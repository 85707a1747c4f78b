//! Which faults are told when: each once, a reminder while it lasts, and its end once it stays away. A fault that comes
//! and goes is told as such, and more messages than anybody reads are held back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::message::{Message, MessageState, duration};

/// A fault that begins this often within [`FLAP_WINDOW_S`] comes and goes.
const FLAPS: usize = 3;
const FLAP_WINDOW_S: i64 = 3600;
/// How long one that came and went has to stay away before its end is told.
const CALM_S: i64 = 1800;
/// A check that begins to fail so soon after a cause was told is taken for its consequence.
const CONSEQUENCE_S: i64 = 300;
/// The most messages about a host within an hour. What does not fit waits.
const MAX_PER_HOUR: usize = 20;
const HOUR_S: i64 = 3600;

/// The intervals that the inventory sets.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// After how many seconds somebody is reminded.
    pub remind_s: i64,
    /// For how many seconds a fault has to stay away before its end is told.
    pub settle_s: i64,
}

impl Rules {
    /// The rules of a host that is looked at so often.
    #[must_use]
    pub fn new(every_s: u32, remind_s: u32) -> Self {
        let settle_s = i64::from(every_s).saturating_mul(2).min(600);
        Self { remind_s: remind_s.into(), settle_s }
    }
}

/// The faults of a host that are open, and those that were until lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Incidents {
    faults: BTreeMap<String, Record>,
    /// When messages were made, within the last hour.
    sent: Vec<i64>,
}

/// What is remembered of a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    summary: String,
    details: Vec<String>,
    next: String,
    is_symptom: bool,
    /// When it began the last time.
    since: i64,
    /// When it began, within [`FLAP_WINDOW_S`].
    starts: Vec<i64>,
    /// When it was first not seen any more.
    gone_since: Option<i64>,
    is_open: bool,
    /// When it was last told.
    told: Option<i64>,
    /// The fault whose message told it as a consequence.
    told_with: Option<String>,
    /// Whether it comes and goes.
    is_flapping: bool,
}

impl Record {
    /// Whether nobody knows of it, and it is there.
    fn is_news(&self) -> bool {
        self.is_open && self.gone_since.is_none() && self.told.is_none() && self.told_with.is_none()
    }

    fn begin(&mut self, now: i64) {
        self.starts.retain(|start| now - start < FLAP_WINDOW_S);
        self.starts.push(now);
        self.gone_since = None;
        if !self.is_open {
            self.is_open = true;
            self.since = now;
            (self.told, self.told_with) = (None, None);
        }
        if self.starts.len() >= FLAPS && !self.is_flapping {
            self.is_flapping = true;
            // That it comes and goes is news, unless another fault explains it.
            self.told = None;
        }
    }

    fn end(&mut self) {
        self.is_open = false;
        (self.gone_since, self.told, self.told_with) = (None, None, None);
        if std::mem::take(&mut self.is_flapping) {
            self.starts.clear();
        }
    }
}

impl Incidents {
    /// Whether a fault is known to be there.
    #[must_use]
    pub fn is_open(&self, id: &str) -> bool {
        self.faults.get(id).is_some_and(|record| record.is_open)
    }

    /// What is wrong, a line for each fault that is open.
    #[must_use]
    pub fn open(&self) -> Vec<&str> {
        let open = self.faults.values().filter(|record| record.is_open);
        open.map(|record| record.summary.as_str()).collect()
    }

    /// Takes in what a look has found, the cause first. Returns what has to be told of it.
    pub fn take_in(&mut self, host: &str, seen: &[Fault], now: i64, rules: Rules) -> Vec<Message> {
        self.sent.retain(|sent| (now - sent).abs() < HOUR_S);
        self.note(seen, now);
        let mut messages = self.ended(host, now, rules);
        self.release_orphans();
        messages.extend(self.begun(host, seen, now));
        messages.extend(self.reminders(host, now, rules));
        self.forget(now);
        messages
    }

    fn note(&mut self, seen: &[Fault], now: i64) {
        for fault in seen {
            let record = self.faults.entry(fault.id.clone()).or_default();
            record.summary.clone_from(&fault.summary);
            record.details.clone_from(&fault.details);
            record.next.clone_from(&fault.next);
            record.is_symptom = fault.is_symptom;
            if !record.is_open || record.gone_since.is_some() {
                record.begin(now);
            }
        }
        for (id, record) in &mut self.faults {
            if record.is_open && !seen.iter().any(|fault| fault.id == *id) {
                record.gone_since.get_or_insert(now);
            }
        }
    }

    /// The faults that have stayed away for long enough.
    fn ended(&mut self, host: &str, now: i64, rules: Rules) -> Vec<Message> {
        let has_ended = |record: &Record| {
            let wanted = if record.is_flapping { CALM_S } else { rules.settle_s };
            record.is_open && record.gone_since.is_some_and(|gone| now - gone >= wanted)
        };
        let mut messages = Vec::new();
        for id in self.ids_where(has_ended) {
            let Some(record) = self.faults.get(&id) else { continue };
            // Nobody needs to hear of the end of what was not told.
            if record.told.is_some() {
                if !self.may_send() {
                    continue;
                }
                let lasted = record.gone_since.unwrap_or(now) - record.since;
                let details = vec![format!("It lasted {}.", duration(lasted))];
                let message = message(host, MessageState::Recovered, &id, record);
                let message = Message { details, next: String::new(), ..message };
                messages.push(self.sending(message, now));
            }
            if let Some(record) = self.faults.get_mut(&id) {
                record.end();
            }
        }
        messages
    }

    /// A consequence that outlives its cause has a cause of its own.
    fn release_orphans(&mut self) {
        let open = self.ids_where(|record| record.is_open);
        for record in self.faults.values_mut().filter(|record| record.gone_since.is_none()) {
            record.told_with.take_if(|cause| !open.contains(cause));
        }
    }

    /// What nobody knows of, as one message: the first is the cause, the others may follow from it.
    fn begun(&mut self, host: &str, seen: &[Fault], now: i64) -> Option<Message> {
        let is_news = |fault: &&Fault| self.faults.get(&fault.id).is_some_and(Record::is_news);
        let mut news: Vec<_> = seen.iter().filter(is_news).map(|fault| fault.id.clone()).collect();
        let is_cause = |id: &&String| self.faults.get(*id).is_some_and(|record| !record.is_symptom);
        let cause = news.iter().find(is_cause).cloned();
        if cause.is_none() {
            news.retain(|id| {
                let known = self.told_lately(began(seen, id).unwrap_or(now));
                if let Some(known) = &known {
                    self.tell_with(std::slice::from_ref(id), known);
                }
                known.is_none()
            });
        }
        let first = cause.or_else(|| news.first().cloned())?;
        if !self.may_send() {
            return None;
        }
        let others: Vec<_> = news.into_iter().filter(|id| *id != first).collect();
        self.tell_with(&others, &first);
        let record = self.faults.get_mut(&first)?;
        record.told = Some(now);
        let record = record.clone();
        let mut message = message(host, MessageState::Fault, &first, &record);
        if record.is_flapping {
            message.summary = format!("flapping: {}", record.summary);
            let began = record.starts.first().copied().unwrap_or(now);
            let told = format!(
                "It began {} times within {}. Its end is told once it has stayed away for {}.",
                record.starts.len(),
                duration(now - began),
                duration(CALM_S)
            );
            message.details.insert(0, told);
        }
        message.details.extend(self.consequences(&first));
        Some(self.sending(message, now))
    }

    /// A cause that was told so lately that what began then may follow from it.
    fn told_lately(&self, began: i64) -> Option<String> {
        let is_late = |record: &Record| {
            let told = record.told.is_some_and(|told| began - told <= CONSEQUENCE_S);
            let is_near = (began - record.since).abs() <= CONSEQUENCE_S;
            record.is_open && !record.is_symptom && told && is_near
        };
        let mut causes = self.faults.iter().filter(|(_, record)| is_late(record));
        causes.next().map(|(id, _)| id.clone())
    }

    fn tell_with(&mut self, ids: &[String], cause: &str) {
        for (id, record) in &mut self.faults {
            if ids.contains(id) {
                record.told_with = Some(cause.to_owned());
            }
        }
    }

    /// What was told with a fault and is still there.
    fn consequences(&self, cause: &str) -> Vec<String> {
        let is_one = |record: &&Record| {
            let is_there = record.is_open && record.gone_since.is_none();
            is_there && record.told_with.as_deref() == Some(cause)
        };
        let (symptoms, causes): (Vec<_>, Vec<_>) =
            self.faults.values().filter(is_one).partition(|record| record.is_symptom);
        let lines = causes.into_iter().chain(symptoms);
        lines.map(|record| format!("also: {}", record.summary)).collect()
    }

    fn reminders(&mut self, host: &str, now: i64, rules: Rules) -> Vec<Message> {
        let is_due = |record: &Record| {
            let is_there = record.is_open && (record.gone_since.is_none() || record.is_flapping);
            is_there && record.told.is_some_and(|told| now - told >= rules.remind_s)
        };
        let mut messages = Vec::new();
        for id in self.ids_where(is_due) {
            if !self.may_send() {
                break;
            }
            let consequences = self.consequences(&id);
            let Some(record) = self.faults.get_mut(&id) else { continue };
            record.told = Some(now);
            let mut message = message(host, MessageState::Reminder, &id, record);
            if record.is_flapping {
                message.summary = format!("flapping: {}", record.summary);
            }
            message.details.insert(0, format!("It has lasted {}.", duration(now - record.since)));
            message.details.extend(consequences);
            messages.push(self.sending(message, now));
        }
        messages
    }

    fn ids_where(&self, holds: impl Fn(&Record) -> bool) -> Vec<String> {
        let found = self.faults.iter().filter(|(_, record)| holds(record));
        found.map(|(id, _)| id.clone()).collect()
    }

    fn may_send(&self) -> bool {
        self.sent.len() < MAX_PER_HOUR
    }

    /// Counts a message. The last one that fits says that others wait.
    fn sending(&mut self, mut message: Message, now: i64) -> Message {
        self.sent.push(now);
        if !self.may_send() {
            message.details.push(format!(
                "This is message {MAX_PER_HOUR} within an hour: further ones wait until the hour is over."
            ));
        }
        message
    }

    /// Drops faults that are over and can no longer be found to come and go.
    fn forget(&mut self, now: i64) {
        self.faults.retain(|_, record| {
            record.is_open || record.starts.iter().any(|start| now - start < FLAP_WINDOW_S)
        });
    }
}

/// When a fault began, where that is known better than by the look that found it.
fn began(seen: &[Fault], id: &str) -> Option<i64> {
    seen.iter().find(|fault| fault.id == id)?.began
}

fn message(host: &str, state: MessageState, id: &str, record: &Record) -> Message {
    Message {
        host: host.to_owned(),
        state,
        id: id.to_owned(),
        summary: record.summary.clone(),
        details: record.details.clone(),
        next: record.next.clone(),
        since: record.since,
    }
}

#[cfg(test)]
mod tests;
