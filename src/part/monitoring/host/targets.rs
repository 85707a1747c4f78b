//! What Prometheus says of its targets.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::client::Answer;

/// The answer of `/api/v1/targets`, as far as it is of use.
#[derive(Deserialize)]
struct Targets {
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    active_targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    health: String,
    last_error: String,
    labels: Labels,
}

#[derive(Deserialize)]
struct Labels {
    job: String,
}

/// How many targets answer. Fails where one does not.
pub(super) fn summary(answer: &Answer) -> Result<String> {
    let Targets { data: Data { active_targets: all } } = serde_json::from_slice(&answer.body)
        .with_context(|| format!("Prometheus answers {} and no list of targets", answer.status))?;
    let down: Vec<_> = all.iter().filter(|target| target.health == "down").collect();
    if let Some(first) = down.first() {
        let (job, why) = (&first.labels.job, &first.last_error);
        bail!("{} of {} do not answer: {job} ({why})", down.len(), all.len());
    }
    // One that was not looked at yet is neither.
    let up = all.iter().filter(|target| target.health == "up").count();
    Ok(format!("{up} of {} answer", all.len()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::HeaderMap;

    use super::*;

    fn answer(health: &str) -> Answer {
        let body = serde_json::json!({ "status": "success", "data": { "activeTargets": [
            { "health": "up", "lastError": "", "labels": { "job": "node", "instance": "a" } },
            { "health": health, "lastError": "refused", "labels": { "job": "redis" } },
        ] } });
        Answer { status: 200, headers: HeaderMap::new(), body: Bytes::from(body.to_string()) }
    }

    #[test]
    fn a_target_that_does_not_answer_is_named() {
        assert_eq!(summary(&answer("unknown")).unwrap(), "1 of 2 answer");
        let error = summary(&answer("down")).unwrap_err().to_string();
        assert_eq!(error, "1 of 2 do not answer: redis (refused)");
    }
}
