//! The API: its socket, who may use it, its service, and what it says of its own health.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::Result;

use super::health::health;
use crate::engine::{Case, Symptoms, tail};
use crate::event::{Finding, Fix};
use crate::resource::Owner;
use crate::spec::{LogSource, ProbeKind};

const SOCKET: &str = "flask-app.socket";
const SERVICE: &str = "flask-app.service";
/// The path at which the API reports its health.
const HEALTH: &str = "/flask/api/health";
/// The name that the spec of the API gives to the restart of its socket.
const RESTART_SOCKET: &str = "api-socket";

/// What is wrong with the API itself. Why it reports that it is not healthy counts only where no other cause
/// was found.
pub(super) async fn diagnose(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Result<Option<Finding>> {
    let start = || Fix::Provision { tags: vec![case.part.name.clone()] };
    for unit in [SOCKET, SERVICE] {
        // A service that was never asked is started by its socket.
        if symptoms.units.is_active(unit) {
            continue;
        }
        if symptoms.units.is_failing(unit) {
            return Ok(Some(failing(case, symptoms).await));
        }
        let mut evidence = vec![symptoms.units.state(unit)];
        evidence.extend(journal(case, unit, 5).await);
        let (cause, what) = match (symptoms.units.get(unit, "LoadState"), unit) {
            ("loaded", SOCKET) => ("api-socket-stopped", "the API's socket is not listening"),
            ("loaded", _) => ("api-stopped", "the API does not run"),
            _ => ("api-absent", "the API is not installed"),
        };
        let finding = Finding::new(cause, what).evidence(evidence);
        return Ok(Some(finding.next("`hwctl provision --only api` starts it").fix(start())));
    }
    let path = symptoms.units.get(SOCKET, "Listen");
    let path = path.split_once(" (").map_or(path, |(path, _)| path);
    if let Some(finding) = socket_file(case, symptoms, path) {
        return Ok(Some(finding.fix(Fix::RestartSocket { name: RESTART_SOCKET.to_owned() })));
    }
    // Without a database of its own host it is known to answer 503.
    let asks = |look: &ProbeKind| matches!(look, ProbeKind::Page { path, .. } if path == HEALTH);
    let is_asked = case.part.probes.iter().any(|probe| asks(&probe.kind));
    if !is_asked || !symptoms.earlier.is_empty() {
        return Ok(None);
    }
    Ok(match health(&case.host.path(Path::new(path))).await {
        Ok((200, _)) => None,
        Ok((status, body)) => Some(
            Finding::new("api-unhealthy", "the API runs and says that it is not healthy")
                .evidence([format!("its health: {status} {}", why(&body))])
                .next("its log has the reason: `journalctl -u flask-app` on the host"),
        ),
        Err(error) => Some(silent(case, format!("{error:#}")).await),
    })
}

/// What an error of the API says, without its wrapping.
fn why(body: &str) -> String {
    let fields: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    fields["error"]["message"].as_str().unwrap_or(body).to_owned()
}

/// It was started again and again: what is not as declared is the cause, if anything is.
async fn failing(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Finding {
    let drift = symptoms.drift.iter().filter(|planned| planned.tag == case.part.name);
    let ids: Vec<_> = drift.map(|planned| planned.change.id.as_str()).collect();
    let changed: Vec<_> = ids.iter().filter(|id| !id.starts_with("unit ")).collect();
    let finding = Finding::new("api-failing", "the API ends as soon as it is started");
    let differs = changed.iter().map(|id| format!("not as it was declared: {id}"));
    let finding = finding.evidence(differs).evidence([symptoms.units.state(SERVICE)]);
    let finding = finding.evidence(journal(case, SERVICE, 4).await);
    if changed.is_empty() {
        return finding.next(
            "its log has the reason: `journalctl -u flask-app` on the host; `hwctl deploy \
             --rollback` goes back to the version before",
        );
    }
    let fix = Fix::Provision { tags: vec![case.part.name.clone()] };
    finding.next("`hwctl provision --only api` puts back what is declared").fix(fix)
}

async fn silent(case: &Case<'_>, why: String) -> Finding {
    let mut evidence = vec![why];
    evidence.extend(journal(case, SERVICE, 3).await);
    let finding = Finding::new("api-silent", "the API runs and does not answer");
    finding.evidence(evidence).next("`hwctl restart api` starts it anew")
}

/// The last lines of a unit's journal.
async fn journal(case: &Case<'_>, unit: &str, lines: usize) -> Vec<String> {
    tail(case.host, &LogSource::Unit(unit.to_owned()), lines).await.unwrap_or_default()
}

/// The file of the socket: systemd does not notice when somebody takes it away.
fn socket_file(case: &Case<'_>, symptoms: &Symptoms<'_>, path: &str) -> Option<Finding> {
    let next = "`hwctl doctor --fix` restarts the socket, which makes it anew";
    let shown = |what: String| Finding::new("api-socket-absent", what).next(next);
    let found = match fs::metadata(case.host.path(Path::new(path))) {
        Ok(found) => found,
        Err(error) => {
            let finding = shown(format!("the API's socket `{path}` is gone"));
            return Some(finding.evidence([format!("{error}; {}", symptoms.units.state(SOCKET))]));
        }
    };
    if !found.file_type().is_socket() {
        return Some(shown(format!("`{path}` is not a socket")));
    }
    let wanted = |property| symptoms.units.get(SOCKET, property);
    let owner = Owner::new(wanted("SocketUser"), wanted("SocketGroup"));
    let mode = format!("{:04o}", found.mode() & 0o7777);
    let seen = owner.seen(case.host, found.uid(), found.gid()).ok()?;
    if mode == wanted("SocketMode") && seen == owner.text() {
        return None;
    }
    Some(
        Finding::new(
            "api-socket-permissions",
            format!("nginx may not use the API's socket `{path}`"),
        )
        .evidence([format!(
            "it is {mode} {seen}, declared: {} {}",
            wanted("SocketMode"),
            owner.text()
        )])
        .next(next),
    )
}
