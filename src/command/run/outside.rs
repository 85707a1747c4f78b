//! The checks of a host from outside, before and after a run.

use std::time::Duration;

use tokio::time::timeout;

use super::Outside;
use crate::client::Expected;
use crate::command::run::vantage::Vantage;
use crate::event::EventKind;
use crate::remote::{Emit, Engine};
use crate::resource::Exposure;

/// How long a host that may not serve at all is looked at before a run of a part.
const GLANCE: Duration = Duration::from_secs(3);

/// Finds the way to look by before anything is changed, and says what cannot be looked at from here. A run
/// must not be undone for where the operator is. Before a run of a part, what is wrong already is named.
pub(super) async fn check_before(
    engine: &mut Engine,
    outside: Outside<'_>,
    is_part: bool,
    emit: Emit<'_>,
) -> (Option<Vantage>, Vec<String>) {
    if let Some(through) = &engine.route.through {
        let message = format!(
            "pages are checked through `{through}`, the way ssh connects. hwctl cannot check from outside whether other ports are closed"
        );
        emit(EventKind::Warning { message });
    }
    let endpoints = outside(&engine.facts, &Exposure::default(), None).endpoints;
    if endpoints.is_empty() {
        return (Some(Vantage::as_client(engine).await), Vec::new());
    }
    let vantage = Vantage::find(engine, &endpoints).await;
    if !vantage.is_open() {
        let message = format!(
            "the web ports of `{}` do not answer this machine. If this run opens them, that is normal. Otherwise a firewall in between blocks them, and hwctl checks the pages through ssh instead",
            engine.route.host
        );
        emit(EventKind::Warning { message });
    }
    let mut wrong = Vec::new();
    if is_part {
        let exposure = engine.exposure(emit).await.unwrap_or_default();
        wrong = wrong_now(&vantage, outside(&engine.facts, &exposure, None)).await;
    }
    (Some(vantage), wrong)
}

/// The names of what is not as it should be from outside before a run.
async fn wrong_now(vantage: &Vantage, expected: Expected) -> Vec<String> {
    let names = expected.names();
    match timeout(GLANCE, vantage.check(expected)).await {
        Ok(checks) => {
            checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect()
        }
        Err(_) => names,
    }
}

/// Looks from outside and says what is wrong that was not `wrong_before`.
pub(in crate::command) async fn check_after(
    vantage: &Vantage,
    expected: &Expected,
    wrong_before: &[String],
    emit: Emit<'_>,
) -> Vec<String> {
    vantage.emit(emit);
    let (mut wrong, mut still) = (Vec::new(), Vec::new());
    for check in vantage.settled(expected, wrong_before).await {
        if !check.ok && wrong_before.contains(&check.name) {
            still.push(format!("{} ({})", check.name, check.detail));
            continue;
        }
        if !check.ok {
            wrong.push(format!("{}: {}", check.name, check.detail));
        }
        emit(EventKind::Check { name: check.name, ok: check.ok, detail: check.detail });
    }
    if !still.is_empty() {
        let message =
            format!("already failing before this run, and still failing: {}", still.join(", "));
        emit(EventKind::Warning { message });
    }
    wrong
}
