//! nginx: its configuration, whether it runs, and who else has its ports.

use std::path::Path;

use anyhow::Result;

use crate::engine::{Case, Symptoms, tail};
use crate::event::{Finding, Fix, Planned};
use crate::resource::{Declared, last_lines, listeners, test_nginx};
use crate::spec::LogSource;

const UNIT: &str = "nginx.service";

pub(super) async fn diagnose(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Result<Option<Finding>> {
    let fix = || Fix::Provision { tags: vec![case.part.name.clone()] };
    if symptoms.units.get(UNIT, "LoadState") != "loaded" {
        return Ok(Some(
            Finding::new("nginx-absent", "nginx is not installed")
                .evidence([symptoms.units.state(UNIT)])
                .next("`hwctl provision` makes the stack"),
        ));
    }
    let syntax = test_nginx(case.host).await?;
    if !syntax.status.success() {
        return Ok(Some(broken(case, symptoms, &last_lines(&syntax, 2))));
    }
    if symptoms.units.is_active(UNIT) {
        return Ok(None);
    }
    let mut evidence = vec![symptoms.units.state(UNIT)];
    let holder = listeners().into_iter().find(|l| [80, 443].contains(&l.port));
    if let Some(holder) = holder {
        evidence.push(format!("port {} is taken by {}", holder.port, holder.holder()));
        return Ok(Some(
            Finding::new("nginx-port", "another program has nginx's port").evidence(evidence).next(
                "decide which of the two is to serve on this host; once the port is free, \
                     `hwctl doctor --fix` starts nginx",
            ),
        ));
    }
    evidence
        .extend(tail(case.host, &LogSource::Unit(UNIT.to_owned()), 3).await.unwrap_or_default());
    Ok(Some(
        Finding::new("nginx-stopped", "nginx does not run")
            .evidence(evidence)
            .next("`hwctl provision --only nginx` starts it")
            .fix(fix()),
    ))
}

/// What is hwctl's own is put back by a run; what others wrote, only they can mend.
fn broken(case: &Case<'_>, symptoms: &Symptoms<'_>, told: &str) -> Finding {
    let place = named_place(told);
    let path = place.map(|place| place.rsplit_once(':').map_or(place, |(path, _)| path));
    let runs = match symptoms.units.is_active(UNIT) {
        true => "nginx serves its old configuration until it is restarted",
        false => "nginx does not run",
    };
    let finding = Finding::new("nginx-configuration", "nginx does not accept its configuration")
        .evidence([told.to_owned(), runs.to_owned()]);
    // nginx names a link as it is enabled, and what hwctl declares is the file that it leads to.
    let real = |path: &str| std::fs::canonicalize(case.host.path(Path::new(path))).ok();
    let found = path.and_then(real);
    let is_meant = |name: &str| path == Some(name) || found.is_some() && real(name) == found;
    let differs = symptoms.drift.iter().find(|planned| {
        planned.change.id.as_str().split_once(' ').is_some_and(|(_, name)| is_meant(name))
    });
    let differs = differs.map(|Planned { tag, change }| (tag.clone(), change.id.clone()));
    // Where it is not known what the file should hold, it is enough that hwctl has made it.
    let made = || {
        let is_file = |it: &&Declared| it.resource.profile().target.is_none();
        let files = symptoms.resources.iter().filter(is_file);
        let mut files = files.filter(|_| !symptoms.knows_content);
        let file = files.find(|it| it.resource.path().and_then(Path::to_str).is_some_and(is_meant));
        file.map(|it| (it.tag.clone(), it.resource.id()))
    };
    match (differs.or_else(made), place) {
        (Some((tag, id)), _) => finding
            .next(format!("`hwctl provision --only {tag}` puts `{id}` back as declared"))
            .fix(Fix::Provision { tags: vec![tag] }),
        (None, Some(place)) if place.contains(':') => {
            finding.next(format!("mend or remove `{place}`: it is not hwctl's"))
        }
        (None, _) => finding.next("`nginx -t` on the host says what is wrong"),
    }
}

/// The file that a message of nginx is about: with its line where nginx names one, as in
/// `unknown directive "x" in /etc/nginx/nginx.conf:5`, else in quotes.
fn named_place(told: &str) -> Option<&str> {
    let with_line = told.rsplit_once(" in /").map(|(before, _)| &told[before.len() + 4..]);
    let with_line = with_line.and_then(|place| place.split_whitespace().next());
    with_line.or_else(|| told.split('"').nth(1).filter(|path| path.starts_with('/')))
}
