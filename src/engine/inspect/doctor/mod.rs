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
use crate::engine::plan::{Plan, Wanted, goal};
use crate::engine::protocol::Examination;
use crate::engine::record::manifest::Manifest;
use crate::engine::record::specs;
use crate::engine::record::step::Step;
use crate::event::{Finding, Fix, Planned};
use crate::failure::Failure;
use crate::resource::{Declared, Host, Secret};
use crate::spec::{PartSpec, in_order};

pub(in crate::engine) use disk::mounts;

/// A finding, and what it is about: a part or a unit by its name. None for the host as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosed {
    /// The name of the part or the unit.
    pub about: Option<String>,
    /// What is wrong.
    pub finding: Finding,
}

/// What a diagnosis is made from.
struct Subject<'a> {
    resources: &'a [Declared],
    parts: &'a [PartSpec],
    wanted: Wanted,
    knows_content: bool,
    token: Option<&'a Secret>,
}

/// Examines the host; the first finding is the cause of those after it.
pub(in crate::engine) async fn examine(
    asked: &Examination,
    host: &Host,
    drivers: Drivers,
) -> Result<Vec<Finding>, Failure> {
    // Clocks first: what is done here takes time.
    let mut findings: Vec<Finding> = clock::examine(asked.now_ms).into_iter().collect();
    if Manifest::load(host)?.resources().next().is_none() {
        findings.push(not_provisioned());
        return Ok(findings);
    }
    if let Err(error) = specs::read(host) {
        findings.push(unreadable_specs(error));
    }
    let declared = asked.resources.iter().cloned().map(Step::from).collect();
    let subject = Subject {
        resources: &asked.resources,
        parts: &asked.parts,
        wanted: Wanted::declared_only(declared),
        knows_content: true,
        token: asked.token.as_ref(),
    };
    let found = diagnose(&subject, findings, host, drivers).await?;
    Ok(found.into_iter().map(|diagnosed| diagnosed.finding).collect())
}

/// Examines the host without an operator. What it should have is what the last run declared, as far as the host
/// keeps that: it does not keep the contents of files.
pub(in crate::engine) async fn examine_alone(
    parts: &[PartSpec],
    host: &Host,
    drivers: Drivers,
) -> Result<Vec<Diagnosed>, Failure> {
    let manifest = Manifest::load(host)?;
    if manifest.resources().next().is_none() {
        return Ok(vec![Diagnosed { about: None, finding: not_provisioned() }]);
    }
    let declared = manifest.as_declared().map(|(tag, it)| Declared::new(tag, it.clone()));
    let subject = Subject {
        resources: &declared.collect::<Vec<_>>(),
        parts,
        wanted: goal::what_is_comparable(host)?,
        knows_content: false,
        token: None,
    };
    diagnose(&subject, Vec::new(), host, drivers).await
}

/// Looks for causes after those that were found already.
async fn diagnose(
    subject: &Subject<'_>,
    mut findings: Vec<Finding>,
    host: &Host,
    drivers: Drivers,
) -> Result<Vec<Diagnosed>, Failure> {
    let Subject { resources, parts, wanted, knows_content, token } = subject;
    let mut about = vec![None; findings.len()];
    let (drift, obstacle) = match Plan::make(wanted, host).await {
        Ok(plan) => (plan.changes, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    findings.extend(disk::examine(resources, parts, host));
    about.resize(findings.len(), None);
    let units = Units::read(host, parts).await?;
    for part in in_order(parts) {
        let Some(driver) = drivers.of(part) else { continue };
        let symptoms = Symptoms {
            resources,
            units: &units,
            drift: &drift,
            knows_content: *knows_content,
            earlier: &findings,
            token: *token,
        };
        let found = driver.diagnose(&Case { host, part }, &symptoms).await?;
        findings.extend(found);
        about.resize(findings.len(), Some(part.name.clone()));
    }
    if findings.is_empty() {
        findings.extend(obstacle.map(not_plannable).or_else(|| changed_by_hand(&drift)));
        about.resize(findings.len(), None);
    }
    let all = about.into_iter().zip(findings);
    Ok(all.map(|(about, finding)| Diagnosed { about, finding }).collect())
}

fn not_provisioned() -> Finding {
    let finding = Finding::new("not-provisioned", "hwctl has made nothing on this host");
    finding.next("`hwctl provision` makes the stack")
}

fn unreadable_specs(error: anyhow::Error) -> Finding {
    let failure = Failure::from(error);
    let next = failure.hint.unwrap_or_else(|| "`hwctl provision` writes them again".to_owned());
    Finding::new("parts", failure.what).evidence(failure.why).next(next)
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
        Finding::new(Finding::DRIFT, "the host differs from its declared state")
            .evidence(ids)
            .next(
                "`hwctl plan` shows the differences; `hwctl provision` restores the declared state",
            )
            .fix(Fix::Provision { tags })
    })
}
