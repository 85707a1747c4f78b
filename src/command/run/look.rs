//! The look at a host from outside, before and after a run.

use std::time::Duration;

use tokio::time::timeout;

use super::Outside;
use crate::client::Expected;
use crate::command::sight::Sight;
use crate::event::What;
use crate::remote::{Engine, Tell};
use crate::resource::Exposure;

/// How long a host that may not serve at all is looked at before a run of a part.
const GLANCE: Duration = Duration::from_secs(3);

/// Finds the way to look by before anything is changed, and says what cannot be looked at from here. A run
/// must not be undone for where the operator is. Before a run of a part, what is wrong already is named.
pub(super) async fn look_before(
    engine: &mut Engine,
    outside: Outside<'_>,
    is_part: bool,
    tell: Tell<'_>,
) -> (Option<Sight>, Vec<String>) {
    if let Some(through) = &engine.route.through {
        let message = format!(
            "pages are looked at the way that ssh goes, through `{through}`. Whether other ports are \
             closed is not looked at from outside"
        );
        tell(What::Warning { message });
    }
    let endpoints = outside(&engine.facts, &Exposure::default(), None).endpoints;
    if endpoints.is_empty() {
        return (Some(Sight::as_client(engine).await), Vec::new());
    }
    let sight = Sight::find(engine, &endpoints).await;
    if !matches!(sight, Sight::AsClient(_)) {
        let message = format!(
            "the web ports of `{}` do not answer here. If this run does not open them, a firewall on \
             the way does not let this machine through: then pages are looked at through ssh",
            engine.route.host
        );
        tell(What::Warning { message });
    }
    let mut wrong = Vec::new();
    if is_part {
        let exposure = engine.exposure(tell).await.unwrap_or_default();
        wrong = wrong_now(&sight, outside(&engine.facts, &exposure, None)).await;
    }
    (Some(sight), wrong)
}

/// The names of what is not as it should be from outside before a run.
async fn wrong_now(sight: &Sight, expected: Expected) -> Vec<String> {
    let names = expected.names();
    match timeout(GLANCE, sight.look(expected)).await {
        Ok(checks) => {
            checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect()
        }
        Err(_) => names,
    }
}

/// Looks from outside and says what is wrong that was not `wrong_before`.
pub(in crate::command) async fn look_after(
    sight: &Sight,
    expected: &Expected,
    wrong_before: &[String],
    tell: Tell<'_>,
) -> Vec<String> {
    sight.tell(tell);
    let (mut wrong, mut still) = (Vec::new(), Vec::new());
    for check in sight.settled(expected, wrong_before).await {
        if !check.ok && wrong_before.contains(&check.name) {
            still.push(format!("{} ({})", check.name, check.detail));
            continue;
        }
        if !check.ok {
            wrong.push(format!("{}: {}", check.name, check.detail));
        }
        tell(What::Check { name: check.name, ok: check.ok, detail: check.detail });
    }
    if !still.is_empty() {
        let message = format!("wrong before this run, and still: {}", still.join(", "));
        tell(What::Warning { message });
    }
    wrong
}
