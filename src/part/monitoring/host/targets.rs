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
    #[serde(default)]
    instance: String,
}

/// How many targets answer. Fails where one of the host `own` does not: those of others are theirs.
pub(super) fn summary(answer: &Answer, own: Option<&str>) -> Result<String> {
    let Targets { data: Data { active_targets: found } } = serde_json::from_slice(&answer.body)
        .with_context(|| format!("Prometheus answers {} and no list of targets", answer.status))?;
    let is_own = |target: &Target| own.is_none_or(|own| target.labels.instance == own);
    let (all, others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_own);
    let down: Vec<_> = all.iter().filter(|target| target.health == "down").collect();
    if let Some(first) = down.first() {
        let (job, why) = (&first.labels.job, &first.last_error);
        bail!("{} of {} do not answer: {job} ({why})", down.len(), all.len());
    }
    // One that was not looked at yet is neither.
    let up = all.iter().filter(|target| target.health == "up").count();
    let of_others = match others.len() {
        0 => String::new(),
        all => {
            let up = others.iter().filter(|target| target.health == "up").count();
            format!(", {up} of {all} of other hosts")
        }
    };
    Ok(format!("{up} of {} answer{of_others}", all.len()))
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
        assert_eq!(summary(&answer("unknown"), None).unwrap(), "1 of 2 answer");
        let error = summary(&answer("down"), None).unwrap_err().to_string();
        assert_eq!(error, "1 of 2 do not answer: redis (refused)");
    }

    #[test]
    fn what_other_hosts_lack_is_counted_and_no_fault() {
        let told = summary(&answer("down"), Some("a")).unwrap();

        assert_eq!(told, "1 of 1 answer, 0 of 1 of other hosts");
    }
}
