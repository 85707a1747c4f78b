//! Reads every resource and says what has to change.

use anyhow::Result;

use crate::event::Planned;
use crate::failure::{Exit, Failure};
use crate::resource::{Blob, Declared, Examined, Host, Outcome, sha256};

/// A plan and what it was made from.
#[derive(Debug)]
pub(super) struct Plan {
    /// The changes, in order.
    pub(super) changes: Vec<Planned>,
    /// For each change, the index of its resource among the declared ones.
    pub(super) places: Vec<usize>,
    /// Of the state that it was made from.
    pub(super) fingerprint: String,
    /// Blobs that the changes need.
    pub(super) blobs: Vec<Blob>,
}

impl Plan {
    /// Examines all of `declared` in order. Every obstacle is found, not only the first.
    pub(super) async fn make(declared: &[Declared], host: &Host) -> Result<Self, Failure> {
        host.forget();
        for Declared { resource, .. } in declared {
            resource.expect(host);
        }
        let mut plan =
            Self { changes: vec![], places: vec![], fingerprint: String::new(), blobs: vec![] };
        let mut obstacles = Vec::new();
        let mut states = Vec::new();
        for (place, Declared { tag, resource }) in declared.iter().enumerate() {
            let examined = match examine(resource, host).await {
                Ok(examined) => examined,
                Err(error) => {
                    obstacles.push(Failure::from_error(Exit::Failed, &error));
                    continue;
                }
            };
            states
                .extend(rmp_serde::to_vec(&(resource.id(), &examined.before)).unwrap_or_default());
            if let Some(change) = examined.change {
                plan.blobs.extend(resource.blob().cloned());
                plan.changes.push(Planned { tag: tag.clone(), change });
                plan.places.push(place);
            }
        }
        if let Some(failure) = joined(obstacles) {
            return Err(failure);
        }
        plan.fingerprint = sha256(&states);
        Ok(plan)
    }
}

/// Examines one resource and remembers what the plan leaves of it.
pub(super) async fn examine(resource: &crate::resource::Resource, host: &Host) -> Result<Examined> {
    let examined = resource.examine(host).await.map_err(|error| {
        // The headline is the obstacle itself where it already names the resource.
        error.context(format!("cannot plan `{}`", resource.id()))
    })?;
    let outcome = Outcome {
        changed: examined.change.is_some(),
        digest: examined.digest.clone(),
        changed_at: examined.changed_at,
    };
    host.record(resource.id(), outcome);
    Ok(examined)
}

/// One failure of many: the first, and the headlines of the others.
fn joined(mut obstacles: Vec<Failure>) -> Option<Failure> {
    if obstacles.is_empty() {
        return None;
    }
    let first = obstacles.remove(0);
    let first = first.not_done("nothing was changed on the host");
    Some(obstacles.into_iter().fold(first, |failure, other| {
        let line = std::iter::once(other.what).chain(other.why).collect::<Vec<_>>().join(": ");
        failure.why(format!("also: {line}"))
    }))
}
