//! The alerts that Prometheus has fire, for the watch of the host to tell.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Deserialize;

use crate::client::Answer;
use crate::engine::Alarm;

/// The annotation that says who tells of an alert: [`BY_WATCH`], [`BY_MONITOR`], or nobody in particular.
const TOLD_BY: &str = "told_by";
/// The watch of the host finds the same by itself, and sooner.
const BY_WATCH: &str = "watch";
/// The host that collects from others tells it of each of them. Other alerts are told by the host that they are about.
const BY_MONITOR: &str = "monitor";
/// Labels that do not tell one alert of a host from another.
const COMMON: [&str; 3] = ["alertname", "instance", "severity"];

/// The answer of `/api/v1/alerts`, as far as it is of use.
#[derive(Deserialize)]
struct Alerts {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    state: String,
    active_at: String,
    #[serde(default)]
    value: String,
}

/// The alerts that fire and that the host `own` has to tell.
pub(super) fn firing(answer: &Answer, own: Option<&str>) -> Result<Vec<Alarm>> {
    let Alerts { data: Data { alerts } } = serde_json::from_slice(&answer.body)
        .with_context(|| format!("Prometheus answers {} and no list of alerts", answer.status))?;
    let meant = alerts.iter().filter(|alert| alert.state == "firing" && alert.is_for(own));
    Ok(meant.map(|alert| alert.alarm(own)).collect())
}

impl Alert {
    /// Whether the host `own` has to tell it.
    fn is_for(&self, own: Option<&str>) -> bool {
        match (self.annotations.get(TOLD_BY).map(String::as_str), own) {
            (Some(BY_WATCH), _) => false,
            (Some(BY_MONITOR), _) | (_, None) => true,
            (_, Some(own)) => self.labels.get("instance").is_none_or(|about| about == own),
        }
    }

    fn alarm(&self, own: Option<&str>) -> Alarm {
        let name = self.labels.get("alertname").map_or("unnamed", String::as_str);
        let about = self.labels.get("instance").filter(|about| Some(about.as_str()) != own);
        let about = about.map(|about| ("instance", about.as_str()));
        let others = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let others = others.filter(|(name, _)| !COMMON.contains(name));
        let labels: Vec<_> = about
            .into_iter()
            .chain(others)
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let annotation = |name: &str| self.annotations.get(name).cloned();
        let summary = annotation("summary").unwrap_or_else(|| match labels.is_empty() {
            true => format!("the alert `{name}` fires"),
            false => format!("the alert `{name}` fires: {}", labels.join(", ")),
        });
        let seen = format!("the alert `{name}` of Prometheus fires, at the value {}", self.value);
        let usual = || "the page /alerts of Prometheus shows its rule".to_owned();
        Alarm {
            id: [vec![format!("alert/{name}")], labels].concat().join(" "),
            summary,
            details: [Some(seen), annotation("description")].into_iter().flatten().collect(),
            next: annotation("next_step").unwrap_or_else(usual),
            since: self.active_at.parse().ok().map(Timestamp::as_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::HeaderMap;
    use serde_json::{Value, json};

    use super::*;

    fn alert(name: &str, instance: &str, annotations: &Value) -> Value {
        json!({
            "labels": { "alertname": name, "instance": instance, "page": "/a/", "severity": "warning" },
            "annotations": annotations, "state": "firing", "value": "1e+00",
            "activeAt": "2026-11-29T12:00:00.5Z",
        })
    }

    fn told(alerts: &[Value], own: Option<&str>) -> Vec<Alarm> {
        let body = json!({ "status": "success", "data": { "alerts": alerts } }).to_string();
        let answer = Answer { status: 200, headers: HeaderMap::new(), body: Bytes::from(body) };
        firing(&answer, own).unwrap()
    }

    #[test]
    fn an_alert_is_told_with_its_summary_and_next_step() {
        let annotations = json!({ "summary": "/a/ does not answer", "next_step": "look" });

        let alarms = told(&[alert("PageDown", "vm1", &annotations)], Some("vm1"));

        let expected = Alarm {
            id: "alert/PageDown page=/a/".to_owned(),
            summary: "/a/ does not answer".to_owned(),
            details: vec![
                "the alert `PageDown` of Prometheus fires, at the value 1e+00".to_owned(),
            ],
            next: "look".to_owned(),
            since: Some(1_795_953_600),
        };
        assert_eq!(alarms, [expected]);
        let own = told(&[alert("Own", "vm1", &json!({}))], Some("vm1"));
        assert_eq!(own[0].summary, "the alert `Own` fires: page=/a/");
    }

    #[test]
    fn a_host_tells_its_own_alerts_and_those_that_are_the_monitors() {
        let mut pending = alert("Pending", "vm1", &json!({}));
        pending["state"] = "pending".into();
        let alerts = [
            alert("Own", "vm1", &json!({})),
            alert("Known", "vm1", &json!({ "told_by": "watch" })),
            alert("Other", "vm2", &json!({})),
            alert("Gone", "vm2", &json!({ "told_by": "monitor" })),
            pending,
        ];

        let ids: Vec<_> = told(&alerts, Some("vm1")).into_iter().map(|alarm| alarm.id).collect();

        assert_eq!(ids, ["alert/Own page=/a/", "alert/Gone instance=vm2 page=/a/"]);
    }
}
