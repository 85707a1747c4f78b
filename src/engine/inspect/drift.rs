//! How a host differs from what was declared: from the inventory of now, and from the last run.

use anyhow::{Result, anyhow};

use crate::engine::driver::Drivers;
use crate::engine::plan::Plan;
use crate::engine::plan::goal;
use crate::engine::protocol::Goal;
use crate::engine::record::lock::Lock;
use crate::event::{Detail, Planned};
use crate::failure::Failure;
use crate::resource::Host;

/// How many changes are named.
const NAMED: usize = 3;

/// Returns how far the host is from `goal`. That alone does not make a host unhealthy, because the
/// inventory may be newer than the last run.
pub(in crate::engine) async fn from_goal(
    goal: &Goal,
    drivers: Drivers,
    host: &Host,
) -> Result<String, Failure> {
    let plan = Plan::make(&goal::wanted(goal, drivers, host)?, host).await?;
    let ids: Vec<_> = plan.changes.iter().map(|planned| planned.change.id.to_string()).collect();
    Ok(listed(&ids))
}

/// Fails if somebody changed what serves since the last run: a unit that was switched off, a
/// configuration that is on disk and not loaded yet, a port that was closed. Returns None where hwctl
/// has made nothing that runs.
pub(in crate::engine) async fn manual_changes(host: &Host) -> Option<Result<String>> {
    let wanted = match goal::what_runs(host) {
        Ok(wanted) if wanted.declared.is_empty() => return None,
        Ok(wanted) => wanted,
        Err(error) => return Some(Err(error)),
    };
    if Lock::is_held(host) {
        return Some(Ok("not looked at: a run is under way".to_owned()));
    }
    Some(match Plan::make(&wanted, host).await {
        Ok(plan) if plan.changes.is_empty() => Ok(listed(&[])),
        Ok(plan) => {
            let changes: Vec<_> = plan.changes.iter().map(explained).collect();
            Err(anyhow!("{}", listed(&changes)))
        }
        Err(failure) => Err(failure.into()),
    })
}

fn listed(changes: &[String]) -> String {
    let named = changes[..changes.len().min(NAMED)].join(", ");
    match changes.len() {
        0 => "none".to_owned(),
        1 => format!("1 change: {named}"),
        all if all > NAMED => format!("{all} changes: {named}, …"),
        all => format!("{all} changes: {named}"),
    }
}

/// A change and its reason, such as `firewall ufw (rule 443/tcp: absent, was allow)`.
fn explained(planned: &Planned) -> String {
    let change = &planned.change;
    let details = change.details.iter().filter_map(|detail| match detail {
        Detail::Attribute { name, before, after } => {
            let [now, then] = [before, after].map(|value| value.as_deref().unwrap_or("absent"));
            Some(format!("{name}: {now}, was {then}"))
        }
        _ => None,
    });
    let why = change.because.clone().unwrap_or_else(|| details.collect::<Vec<_>>().join("; "));
    format!("{} ({why})", change.id)
}
