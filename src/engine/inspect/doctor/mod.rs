//! Finds why a host does not serve as it should: the cause, its evidence, and the next step.
//!
//! What can be wrong with any host is looked at here, and the rest by the drivers of the parts. A part comes
//! after those that it requires, so that a cause comes before what follows from it: a full disk stops a
//! database, and a stopped database makes an application unhealthy.

mod clock;
mod disk;

use anyhow::Result;

use crate::engine::driver::units::Units;
use crate::engine::driver::{Case, Drivers, Symptoms};
use crate::engine::plan::{Plan, Wanted};
use crate::engine::protocol::Examination;
use crate::engine::record::manifest::Manifest;
use crate::engine::record::specs;
use crate::engine::record::step::Step;
use crate::event::{Finding, Fix, Planned};
use crate::failure::Failure;
use crate::resource::Host;
use crate::spec::in_order;

/// Examines the host; the first finding is the cause of those after it.
pub(in crate::engine) async fn examine(
    asked: &Examination,
    host: &Host,
    drivers: Drivers,
) -> Result<Vec<Finding>, Failure> {
    // Clocks first: what is done here takes time.
    let mut findings: Vec<Finding> = clock::examine(asked.now_ms).into_iter().collect();
    if Manifest::load(host)?.resources().next().is_none() {
        let finding = Finding::new("not-provisioned", "hwctl has made nothing on this host");
        findings.push(finding.next("`hwctl provision` makes the stack"));
        return Ok(findings);
    }
    if let Err(error) = specs::read(host) {
        let failure = Failure::from(error);
        let next = failure.hint.unwrap_or_else(|| "`hwctl provision` writes them again".to_owned());
        let finding = Finding::new("parts", failure.what).evidence(failure.why);
        findings.push(finding.next(next));
    }
    let declared = asked.resources.iter().cloned().map(Step::from).collect();
    let wanted = Wanted::declared_only(declared);
    let (drift, obstacle) = match Plan::make(&wanted, host).await {
        Ok(plan) => (plan.changes, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    findings.extend(disk::examine(asked, host));
    let units = Units::read(host, &asked.parts).await?;
    for part in in_order(&asked.parts) {
        let Some(driver) = drivers.of(part) else { continue };
        let symptoms = Symptoms {
            resources: &asked.resources,
            units: &units,
            drift: &drift,
            earlier: &findings,
            token: asked.token.as_ref(),
        };
        let found = driver.diagnose(&Case { host, part }, &symptoms).await?;
        findings.extend(found);
    }
    if findings.is_empty() {
        findings.extend(obstacle.map(not_plannable).or_else(|| changed_by_hand(&drift)));
    }
    Ok(findings)
}

fn not_plannable(failure: Failure) -> Finding {
    let next = failure.hint.unwrap_or_else(|| "see `hwctl plan`".to_owned());
    Finding::new("obstacle", failure.what).evidence(failure.why).next(next)
}

fn changed_by_hand(drift: &[Planned]) -> Option<Finding> {
    let ids: Vec<_> = drift.iter().map(|planned| planned.change.id.to_string()).collect();
    let mut tags: Vec<String> = drift.iter().map(|planned| planned.tag.clone()).collect();
    tags.dedup();
    (!ids.is_empty()).then(|| {
        Finding::new(Finding::DRIFT, "the host is not as it was declared")
            .evidence(ids)
            .next("`hwctl plan` shows the differences, `hwctl provision` takes them away")
            .fix(Fix::Provision { tags })
    })
}
