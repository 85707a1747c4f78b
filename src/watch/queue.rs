//! Messages that wait until each channel has taken them. A channel that fails is tried again later, and keeps none of
//! the others from theirs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::message::Message;

/// The most messages that wait. The oldest ones go first.
pub const MAX_WAITING: usize = 100;
/// After so long nobody needs a message any more.
const MAX_AGE_S: i64 = 7 * 86_400;
/// The most messages that a channel gets in one go.
const MAX_AT_ONCE: usize = 20;
/// A channel that fails is tried again after a minute, then after twice as long, and so on up to this.
const FIRST_PAUSE_S: i64 = 60;
const LONGEST_PAUSE_S: i64 = 900;

/// The messages, oldest first, and how the channels do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    waiting: Vec<Waiting>,
    failing: BTreeMap<String, Failing>,
    /// How many messages were dropped because too many waited, or waited for too long.
    dropped: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    message: Message,
    /// The channels that have not taken it yet.
    channels: BTreeSet<String>,
    /// When it was made.
    at: i64,
}

/// A channel that did not take the last message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failing {
    why: String,
    /// How often it failed in a row.
    times: u32,
    since: i64,
    retry_at: i64,
}

/// What became of the messages for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The channel.
    pub channel: String,
    /// How many it took, from the oldest on.
    pub taken: usize,
    /// Why it did not take the next one.
    pub error: Option<String>,
}

impl Queue {
    /// Adds messages for channels.
    pub fn push(&mut self, messages: Vec<Message>, channels: &[&str], now: i64) {
        for message in messages {
            let channels = channels.iter().map(|id| (*id).to_owned()).collect();
            self.waiting.push(Waiting { message, channels, at: now });
        }
    }

    /// Drops what is for nobody, what is too old and what is too much.
    pub fn tidy(&mut self, channels: &[&str], now: i64) {
        let is_known = |id: &str| channels.contains(&id);
        self.failing.retain(|id, _| is_known(id));
        for waiting in &mut self.waiting {
            waiting.channels.retain(|id| is_known(id));
        }
        self.waiting.retain(|waiting| !waiting.channels.is_empty());
        let before = self.waiting.len();
        self.waiting.retain(|waiting| now - waiting.at < MAX_AGE_S);
        let surplus = self.waiting.len().saturating_sub(MAX_WAITING);
        self.waiting.drain(..surplus);
        self.dropped += (before - self.waiting.len()) as u64;
    }

    /// The messages that a channel should get now, oldest first.
    #[must_use]
    pub fn due(&self, channel: &str, now: i64) -> Vec<&Message> {
        // A clock that was set back must not stop a channel for long.
        let pauses = |failing: &Failing| (1..=LONGEST_PAUSE_S).contains(&(failing.retry_at - now));
        if self.failing.get(channel).is_some_and(pauses) {
            return Vec::new();
        }
        let own = self.waiting.iter().filter(|waiting| waiting.channels.contains(channel));
        own.take(MAX_AT_ONCE).map(|waiting| &waiting.message).collect()
    }

    /// Notes what became of the messages that were due.
    pub fn settle(&mut self, delivery: &Delivery, now: i64) {
        let Delivery { channel, taken, error } = delivery;
        let own = self.waiting.iter_mut().filter(|waiting| waiting.channels.contains(channel));
        for waiting in own.take(*taken) {
            waiting.channels.remove(channel);
        }
        self.waiting.retain(|waiting| !waiting.channels.is_empty());
        let Some(why) = error else {
            self.failing.remove(channel);
            return;
        };
        if *taken > 0 {
            self.failing.remove(channel);
        }
        let new = Failing { why: String::new(), times: 0, since: now, retry_at: now };
        let failing = self.failing.entry(channel.clone()).or_insert(new);
        failing.why.clone_from(why);
        failing.times = failing.times.saturating_add(1);
        let pause = FIRST_PAUSE_S << (failing.times - 1).min(8);
        failing.retry_at = now.saturating_add(pause.min(LONGEST_PAUSE_S));
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The channels that fail, each with the reason and since when.
    pub fn failing(&self) -> impl Iterator<Item = (&str, &str, i64)> {
        self.failing.iter().map(|(id, it)| (id.as_str(), it.why.as_str(), it.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::message::MessageState;

    const NOON: i64 = 1_800_000_000;

    fn message(number: usize) -> Message {
        Message { state: MessageState::Fault, id: number.to_string(), ..Message::test("vm1", NOON) }
    }

    fn queue(count: usize, channels: &[&str]) -> Queue {
        let mut queue = Queue::default();
        queue.push((0..count).map(message).collect(), channels, NOON);
        queue
    }

    fn due(queue: &Queue, channel: &str, now: i64) -> Vec<String> {
        queue.due(channel, now).iter().map(|message| message.id.clone()).collect()
    }

    fn delivery(channel: &str, taken: usize, error: Option<&str>) -> Delivery {
        Delivery { channel: channel.to_owned(), taken, error: error.map(str::to_owned) }
    }

    #[test]
    fn a_message_waits_for_each_channel() {
        let mut queue = queue(2, &["a", "b"]);

        queue.settle(&delivery("a", 2, None), NOON);

        assert_eq!(
            (due(&queue, "a", NOON), due(&queue, "b", NOON).join(" ")),
            (vec![], "0 1".into())
        );
        queue.settle(&delivery("b", 1, Some("refused")), NOON);
        assert_eq!(queue.len(), 1);
        assert_eq!(due(&queue, "b", NOON + 60), ["1"], "in their order");
        queue.settle(&delivery("b", 1, None), NOON + 60);
        assert_eq!((queue.len(), queue.failing().count()), (0, 0));
    }

    #[test]
    fn a_channel_that_fails_is_tried_less_and_less_often() {
        let mut queue = queue(1, &["a"]);
        let mut now = NOON;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            queue.settle(&delivery("a", 0, Some("refused")), now);
            let from = now;
            while due(&queue, "a", now).is_empty() {
                now += 30;
            }
            pauses.push(now - from);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 900, 900]);
        let failing: Vec<_> = queue.failing().collect();
        assert_eq!(failing, [("a", "refused", NOON)]);
        assert_eq!(due(&queue, "a", NOON - 86_400), ["0"], "the clock was set back");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut queue = queue(MAX_WAITING + 5, &["a"]);
        queue.tidy(&["a"], NOON);
        assert_eq!((queue.len(), queue.dropped()), (MAX_WAITING, 5));
        assert_eq!(due(&queue, "a", NOON)[0], "5", "the newest stay");
        assert_eq!(due(&queue, "a", NOON).len(), MAX_AT_ONCE);

        queue.tidy(&["a"], NOON + MAX_AGE_S);
        assert_eq!((queue.len(), queue.dropped()), (0, 5 + MAX_WAITING as u64));
    }

    #[test]
    fn a_channel_that_leaves_the_inventory_is_forgotten() {
        let mut queue = queue(1, &["a", "b"]);
        queue.settle(&delivery("b", 0, Some("refused")), NOON);

        queue.tidy(&["a"], NOON);
        assert_eq!((queue.failing().count(), due(&queue, "b", NOON)), (0, vec![]));
        queue.tidy(&["c"], NOON);
        assert_eq!((queue.len(), queue.dropped()), (0, 0));
    }
}
