//! How often a service has ended and was started again within the last minutes. A service that dies every few seconds
//! runs whenever somebody looks; only its past shows that it does not stay.

use std::time::{SystemTime, UNIX_EPOCH};

use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt as _;

use crate::resource::host::Host;
use crate::resource::host::docker;

/// How far back restarts are counted, in seconds.
const WITHIN_S: u64 = 300;
/// So many restarts within that time are no accident.
const MANY: u32 = 3;
/// The journal's id of the message that systemd starts a unit again (`SD_MESSAGE_UNIT_RESTART_SCHEDULED`).
const RESTART_SCHEDULED: &str = "MESSAGE_ID=5eb03494b6584870a536b337290809b3";

/// What happened to a service within the last minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentRestarts {
    /// How often it was started again by itself.
    pub count: u32,
    /// Whether it was killed for using more memory than it may.
    pub ran_out_of_memory: bool,
}

impl RecentRestarts {
    /// Whether it does not stay.
    #[must_use]
    pub fn are_many(&self) -> bool {
        self.count >= MANY
    }

    /// The number and the time in words.
    #[must_use]
    pub fn text(&self) -> String {
        let memory =
            if self.ran_out_of_memory { ", for using more memory than it may" } else { "" };
        format!("it ended {} times within the last {} minutes{memory}", self.count, WITHIN_S / 60)
    }
}

/// The restarts of a unit. `counted` is systemd's own number of them since somebody started it.
pub async fn of_unit(host: &Host, unit: &str, counted: u32) -> RecentRestarts {
    let mut recent = RecentRestarts::default();
    if counted < MANY {
        return recent;
    }
    let since = format!("--since=-{WITHIN_S}s");
    let args = ["--quiet", "--no-pager", "--output=cat", &since, "--unit", unit, RESTART_SCHEDULED];
    // Without a journal nobody knows when they were.
    let Ok(told) = host.run("journalctl", &args).await else { return recent };
    let lines = u32::try_from(told.lines().count()).unwrap_or(u32::MAX);
    recent.count = lines.min(counted);
    recent
}

/// The restarts of a container. Docker keeps its last 256 events, which is enough for one that ends again and again.
pub async fn of_container(host: &Host, name: &str, counted: i64) -> RecentRestarts {
    let mut recent = RecentRestarts::default();
    if counted < i64::from(MANY) {
        return recent;
    }
    let Ok(docker) = docker::require(host).await else { return recent };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let filters = [("container", vec![name]), ("event", vec!["die", "oom"])].into();
    let (since, until) = ((now - WITHIN_S).to_string(), now.to_string());
    let options = EventsOptionsBuilder::new().since(&since).until(&until).filters(&filters).build();
    let mut events = std::pin::pin!(docker.events(Some(options)));
    while let Some(Ok(event)) = events.next().await {
        // Docker takes the beginning of an id for a name as well.
        let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
        match event.action.as_deref() {
            _ if attributes.get("name").is_none_or(|found| found != name) => {}
            Some("die") => recent.count += 1,
            Some("oom") => recent.ran_out_of_memory = true,
            _ => {}
        }
    }
    recent.count = recent.count.min(u32::try_from(counted).unwrap_or(u32::MAX));
    recent
}
