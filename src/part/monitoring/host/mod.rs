//! Monitoring on the host: whether exporters answer, and what Prometheus cannot read.

mod alerts;
mod targets;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::time::timeout;

use crate::client::{Answer, HttpsConnection, Way};
use crate::engine::{Alarm, Case, Driver, Later, PackageContents, Symptoms, tail};
use crate::event::{Finding, Fix};
use crate::part::docker::host::{self as docker, Subject};
use crate::resource::{Container, Resource, Unit};
use crate::spec::LogSource;

/// How long an answer may take. Exporters ask what they are about first.
const PATIENCE: Duration = Duration::from_secs(4);
const LOG_LINES: usize = 6;

/// The setting with what the host is called in what is measured of it. None where it has no name.
pub(super) const INSTANCE: &str = "instance";

/// The driver of monitoring. The specs of its parts have the setting `port`.
#[derive(Debug)]
pub(crate) struct Monitoring;

impl Driver for Monitoring {
    fn name(&self) -> &'static str {
        "monitoring"
    }

    fn package_contents(&self) -> &'static [PackageContents] {
        const fn contents(name: &'static str, units: &'static [&'static str]) -> PackageContents {
            PackageContents { name, units, configuration: &[], folders: &[] }
        }
        const ALL: [PackageContents; 6] = [
            docker::PACKAGE,
            contents("prometheus", &["prometheus.service"]),
            contents("prometheus-blackbox-exporter", &["prometheus-blackbox-exporter.service"]),
            contents("prometheus-nginx-exporter", &["prometheus-nginx-exporter.service"]),
            contents("prometheus-node-exporter", &["prometheus-node-exporter.service"]),
            contents("prometheus-redis-exporter", &["prometheus-redis-exporter.service"]),
        ];
        &ALL
    }

    fn inspect<'a>(&'a self, _: &'a str, case: &'a Case<'a>) -> Later<'a, String> {
        Box::pin(inspect(case))
    }

    fn alarms<'a>(&'a self, case: &'a Case<'a>) -> Later<'a, Vec<Alarm>> {
        Box::pin(alarms(case))
    }

    /// Finds what programs of Go log as `level=warn`, `level=error` or, in JSON, `"level":"error"`.
    fn is_fault(&self, line: &str) -> bool {
        let levels = ["level=warn", "level=error", "level=WARN", "level=ERROR"];
        levels.iter().any(|level| line.contains(level))
    }

    fn diagnose<'a>(
        &'a self,
        case: &'a Case<'a>,
        symptoms: &'a Symptoms<'a>,
    ) -> Later<'a, Vec<Finding>> {
        Box::pin(async move { Ok(Vec::from_iter(diagnose(case, symptoms).await)) })
    }
}

/// Asks the part on its port of the loopback.
async fn get(case: &Case<'_>, path: &str) -> Result<Answer> {
    let port = case.part.settings.get("port").context("its spec has no port")?.parse()?;
    let asked = async {
        let way = Way::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
        HttpsConnection::plain(&way, port, "localhost").await?.get(path).await
    };
    let answer = timeout(PATIENCE, asked).await.map_err(|_| anyhow!("no answer within 4 s"))?;
    answer.with_context(|| format!("ask port {port} of the loopback"))
}

/// Looks at what the part shows.
async fn inspect(case: &Case<'_>) -> Result<String> {
    match case.part.name.as_str() {
        "prometheus" => {
            let answer = get(case, "/api/v1/targets?state=active").await?;
            targets::summary(&answer, own(case))
        }
        "grafana" => of_status(&get(case, "/grafana/api/health").await?),
        _ => of_metrics(&get(case, "/metrics").await?),
    }
}

/// The alerts of Prometheus that this host has to tell.
async fn alarms(case: &Case<'_>) -> Result<Vec<Alarm>> {
    if case.part.name != "prometheus" {
        return Ok(Vec::new());
    }
    alerts::firing(&get(case, "/api/v1/alerts").await?, own(case))
}

/// What this host is called in what is measured of it.
fn own<'a>(case: &Case<'a>) -> Option<&'a str> {
    case.part.settings.get(INSTANCE).map(String::as_str)
}

fn of_status(answer: &Answer) -> Result<String> {
    match answer.status {
        200 => Ok("200".to_owned()),
        status => bail!("it answers {status} instead of 200"),
    }
}

/// What an exporter says of the thing that it is about: `redis_up`, `nginx_up`.
fn of_metrics(answer: &Answer) -> Result<String> {
    of_status(answer)?;
    let text = String::from_utf8_lossy(&answer.body);
    let is_down = |line: &&str| line.split_once("_up ").is_some_and(|(_, up)| up.trim() == "0");
    if let Some(line) = text.lines().find(is_down) {
        bail!("it says `{line}`: what it is about does not answer");
    }
    let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    Ok(format!("{samples} samples"))
}

/// Looks for the reason why a part does not run.
async fn diagnose(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Option<Finding> {
    for resource in symptoms.resources_of(case.part) {
        let found = match resource {
            // Where the host has no web server, that of the package is to be off.
            Resource::Unit(unit) if unit.name != "docker.service" && unit.active => {
                of_unit(case, symptoms, unit).await
            }
            Resource::Container(container) => of_container(case, symptoms, container).await,
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

async fn of_unit(case: &Case<'_>, symptoms: &Symptoms<'_>, unit: &Unit) -> Option<Finding> {
    let (part, name) = (&case.part.name, &unit.name);
    if symptoms.units.is_active(name) && !symptoms.units.is_failing(name) {
        return None;
    }
    let log = LogSource::Unit(name.clone());
    let lines = tail(case.host, &log, LOG_LINES).await.unwrap_or_default();
    let finding = Finding::new("monitoring-stopped", format!("{part} does not run"));
    let next = format!("`hwctl provision --only {part}` starts it");
    let fix = Fix::Provision { tags: vec![part.clone()] };
    let evidence = [symptoms.units.state(name)];
    Some(finding.evidence(evidence).evidence(lines).next(next).fix(fix))
}

async fn of_container(
    case: &Case<'_>,
    symptoms: &Symptoms<'_>,
    container: &Container,
) -> Option<Finding> {
    let subject = Subject { name: case.part.name.clone(), cause: "monitoring", port: None };
    docker::diagnose_one(case, symptoms, container, &subject).await
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn an_exporter_is_well_while_what_it_is_about_answers() {
        let well = of_metrics(&answer(200, "# TYPE redis_up gauge\nredis_up 1\nx 0\n")).unwrap();
        let down = of_metrics(&answer(200, "redis_up 0\n")).unwrap_err().to_string();

        assert_eq!(well, "2 samples");
        assert!(down.contains("`redis_up 0`"), "{down}");
        assert!(of_metrics(&answer(503, "")).is_err());
    }

    #[test]
    fn warnings_of_go_programs_are_faults() {
        assert!(Monitoring.is_fault(r#"time=2026-11-29T23:00:00Z level=ERROR msg="x""#));
        assert!(
            Monitoring.is_fault(r#"ts=2026-11-29T23:00:00Z caller=main.go level=warn msg="x""#)
        );
        assert!(!Monitoring.is_fault(r#"time=2026-11-29T23:00:00Z level=INFO msg="ready""#));
    }
}
