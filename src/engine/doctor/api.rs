//! The API: its socket, who may use it, its service, and what it says of its own health.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::Result;

use super::{Patient, units};
use crate::engine::health::health;
use crate::event::{Finding, Fix};
use crate::resource::Owner;

const SOCKET: &str = "flask-app.socket";
const SERVICE: &str = "flask-app.service";

/// What is wrong with the API itself; why it is not healthy only when nothing else is `known` to
/// be the cause.
pub(super) async fn look(patient: &Patient<'_>, known: bool) -> Result<Option<Finding>> {
    let start = || Fix::Provision { tags: vec!["api".to_owned()] };
    for unit in [SOCKET, SERVICE] {
        // A service that was never asked is started by its socket.
        if patient.units.is_active(unit) {
            continue;
        }
        if patient.units.is_failing(unit) {
            return Ok(Some(failing(patient).await));
        }
        let mut evidence = vec![patient.units.state(unit)];
        evidence.extend(units::last_words(patient.host, unit, "5").await);
        let (cause, what) = match (patient.units.get(unit, "LoadState"), unit) {
            ("loaded", SOCKET) => ("api-socket-stopped", "the API's socket is not listening"),
            ("loaded", _) => ("api-stopped", "the API does not run"),
            _ => ("api-absent", "the API is not installed"),
        };
        let finding = Finding::new(cause, what).evidence(evidence);
        return Ok(Some(finding.next("`hwctl provision --only api` starts it").fix(start())));
    }
    let path = patient.units.get(SOCKET, "Listen");
    let path = path.split_once(" (").map_or(path, |(path, _)| path);
    if let Some(finding) = socket_file(patient, path) {
        return Ok(Some(finding.fix(Fix::RestartSocket)));
    }
    if known {
        return Ok(None);
    }
    Ok(match health(&patient.host.path(Path::new(path))).await {
        Ok((200, _)) => None,
        Ok((status, body)) => Some(
            Finding::new("api-unhealthy", "the API runs and says that it is not healthy")
                .evidence([format!("its health: {status} {}", why(&body))])
                .next("its log has the reason: `journalctl -u flask-app` on the host"),
        ),
        Err(error) => Some(silent(patient, format!("{error:#}")).await),
    })
}

/// What an error of the API says, without its wrapping.
fn why(body: &str) -> String {
    let fields: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    fields["error"]["message"].as_str().unwrap_or(body).to_owned()
}

/// It was started again and again: what is not as declared is the cause, if anything is.
async fn failing(patient: &Patient<'_>) -> Finding {
    let drift = patient.drift.iter().filter(|planned| planned.tag == "api");
    let ids: Vec<_> = drift.map(|planned| planned.change.id.as_str()).collect();
    let changed: Vec<_> = ids.iter().filter(|id| !id.starts_with("unit ")).collect();
    let finding = Finding::new("api-failing", "the API ends as soon as it is started");
    let differs = changed.iter().map(|id| format!("not as it was declared: {id}"));
    let finding = finding.evidence(differs).evidence([patient.units.state(SERVICE)]);
    let finding = finding.evidence(units::last_words(patient.host, SERVICE, "4").await);
    if changed.is_empty() {
        return finding.next(
            "its log has the reason: `journalctl -u flask-app` on the host; `hwctl deploy \
             --rollback` goes back to the version before",
        );
    }
    let fix = Fix::Provision { tags: vec!["api".to_owned()] };
    finding.next("`hwctl provision --only api` puts back what is declared").fix(fix)
}

async fn silent(patient: &Patient<'_>, why: String) -> Finding {
    let mut evidence = vec![why];
    evidence.extend(units::last_words(patient.host, SERVICE, "3").await);
    let finding = Finding::new("api-silent", "the API runs and does not answer");
    finding.evidence(evidence).next("`hwctl restart api` starts it anew")
}

/// The file of the socket: systemd does not notice when somebody takes it away.
fn socket_file(patient: &Patient<'_>, path: &str) -> Option<Finding> {
    let next = "`hwctl doctor --fix` restarts the socket, which makes it anew";
    let shown = |what: String| Finding::new("api-socket-absent", what).next(next);
    let found = match fs::metadata(patient.host.path(Path::new(path))) {
        Ok(found) => found,
        Err(error) => {
            let finding = shown(format!("the API's socket `{path}` is gone"));
            return Some(finding.evidence([format!("{error}; {}", patient.units.state(SOCKET))]));
        }
    };
    if !found.file_type().is_socket() {
        return Some(shown(format!("`{path}` is not a socket")));
    }
    let wanted = |property| patient.units.get(SOCKET, property);
    let owner = Owner::new(wanted("SocketUser"), wanted("SocketGroup"));
    let mode = format!("{:04o}", found.mode() & 0o7777);
    let seen = owner.seen(patient.host, found.uid(), found.gid()).ok()?;
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
