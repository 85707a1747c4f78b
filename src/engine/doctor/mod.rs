//! Finds why a host does not serve as it should: the cause, its evidence, and the next step.
//!
//! Each file looks at one family of causes. They are asked in the order in which one explains the
//! next: a full disk stops Redis, and a stopped Redis makes the API unhealthy.

mod api;
mod certificate;
mod clock;
mod disk;
mod firewall;
mod nginx;
mod redis;
mod rotation;
mod token;
mod units;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::plan::{Plan, Step, Wanted};
use crate::event::{Finding, Fix, Planned};
use crate::failure::Failure;
use crate::resource::{Declared, Host, Resource, Secret};
use units::Units;

/// What an examination is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Examination {
    /// What the host should have, the whole stack.
    pub resources: Vec<Declared>,
    /// The operator's clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// A token that the API does not take.
    pub token: Option<Secret>,
}

/// What each family looks at.
struct Patient<'a> {
    host: &'a Host,
    asked: &'a Examination,
    units: Units,
    /// What is not as declared.
    drift: Vec<Planned>,
}

impl Patient<'_> {
    /// The change that a plan has for a resource.
    fn drift(&self, id: &str) -> Option<&Planned> {
        self.drift.iter().find(|planned| planned.change.id.as_str() == id)
    }
}

/// Examines the host; the first finding is the cause of those after it.
pub(super) async fn examine(asked: &Examination, host: &Host) -> Result<Vec<Finding>, Failure> {
    // Clocks first: what is done here takes time.
    let mut findings: Vec<Finding> = clock::look(asked.now_ms).into_iter().collect();
    if Manifest::load(host)?.known().next().is_none() {
        let finding = Finding::new("not-provisioned", "hwctl has made nothing on this host");
        findings.push(finding.next("`hwctl provision` makes the stack"));
        return Ok(findings);
    }
    let declared = asked.resources.iter().cloned().map(Step::from).collect();
    let wanted = Wanted::declared_only(declared);
    let (drift, obstacle) = match Plan::make(&wanted, host).await {
        Ok(plan) => (plan.changes, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    let patient = Patient { host, asked, units: Units::read(host).await?, drift };
    findings.extend(disk::look(&patient));
    findings.extend(firewall::look(&patient));
    // Without its certificate nginx does not accept its configuration.
    findings.extend(certificate::look(&patient));
    findings.extend(nginx::look(&patient).await?);
    findings.extend(redis::look(&patient).await);
    findings.extend(api::look(&patient, !findings.is_empty()).await?);
    findings.extend(token::look(&patient));
    findings.extend(rotation::look(&patient).await);
    if findings.is_empty() {
        findings.extend(obstacle.map(not_plannable).or_else(|| changed_by_hand(&patient.drift)));
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

/// The first declared resource that `pick` takes.
fn declared<'a, T>(asked: &'a Examination, pick: impl Fn(&'a Resource) -> Option<T>) -> Option<T> {
    asked.resources.iter().find_map(|declared| pick(&declared.resource))
}
