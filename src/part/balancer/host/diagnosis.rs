//! Why clients do not get through the balancer.

use anyhow::Result;

use super::super::{PORTS, SERVICE, WEB_HOST, virtual_address};
use super::{refusal, socket};
use crate::engine::{Case, Symptoms, tail};
use crate::event::{Finding, Fix};
use crate::resource::listeners;
use crate::spec::LogSource;

pub(super) async fn diagnose(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Result<Vec<Finding>> {
    if case.part.name == virtual_address::PART {
        return Ok(without_shared_address(case, symptoms).await.into_iter().collect());
    }
    if symptoms.units.get(SERVICE, "LoadState") != "loaded" {
        let finding = Finding::new("balancer-absent", "HAProxy is not installed")
            .evidence([symptoms.units.state(SERVICE)])
            .next("`hwctl provision` makes the balancer");
        return Ok(vec![finding]);
    }
    let fix = || Fix::Provision { tags: vec![case.part.name.clone()] };
    if let Some(why) = refusal(case.host).await? {
        let runs = match symptoms.units.is_active(SERVICE) {
            true => "HAProxy serves its old configuration until it is reloaded",
            false => "HAProxy does not run",
        };
        let what = "HAProxy does not accept its configuration";
        let finding = Finding::new("balancer-configuration", what)
            .evidence([why, runs.to_owned()])
            .next("`hwctl provision --only balancer` puts it back as declared")
            .fix(fix());
        return Ok(vec![finding]);
    }
    if !symptoms.units.is_active(SERVICE) {
        return Ok(vec![stopped(case, symptoms).await]);
    }
    Ok(without_work(case).await)
}

/// Why this host cannot have the shared address.
async fn without_shared_address(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Option<Finding> {
    if symptoms.units.is_active(virtual_address::SERVICE) {
        return None;
    }
    let mut evidence = vec![symptoms.units.state(virtual_address::SERVICE)];
    let log = LogSource::Unit(virtual_address::SERVICE.to_owned());
    evidence.extend(tail(case.host, &log, 3).await.unwrap_or_default());
    let what = "keepalived does not run, so this host cannot take over the shared address";
    let finding = Finding::new("virtual-address-stopped", what)
        .evidence(evidence)
        .next("`hwctl provision --only virtual-address` starts it")
        .fix(Fix::Provision { tags: vec![case.part.name.clone()] });
    Some(finding)
}

async fn stopped(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Finding {
    let mut evidence = vec![symptoms.units.state(SERVICE)];
    let holder = listeners().into_iter().find(|listener| PORTS.contains(&listener.port));
    if let Some(holder) = holder {
        evidence.push(format!("port {} is taken by {}", holder.port, holder.holder()));
        return Finding::new("balancer-port", "another program has the balancer's port")
            .evidence(evidence)
            .next(
                "decide which of the two is to serve on this host; once the port is free, \
                 `hwctl doctor --fix` starts HAProxy",
            );
    }
    let log = LogSource::Unit(SERVICE.to_owned());
    evidence.extend(tail(case.host, &log, 3).await.unwrap_or_default());
    Finding::new("balancer-stopped", "HAProxy does not run")
        .evidence(evidence)
        .next("`hwctl provision --only balancer` starts it")
        .fix(Fix::Provision { tags: vec![case.part.name.clone()] })
}

/// The web hosts that get no work, since their checks fail.
async fn without_work(case: &Case<'_>) -> Vec<Finding> {
    let servers = match socket::servers(case.host, socket::WEB).await {
        Ok(servers) => servers,
        Err(error) => {
            let finding = Finding::new("balancer-silent", "HAProxy does not answer on its socket")
                .evidence([format!("{error:#}")])
                .next("`hwctl restart balancer`");
            return vec![finding];
        }
    };
    let known = case.part.settings.iter();
    let known = known.filter_map(|(probe, server)| Some((probe.strip_prefix(WEB_HOST)?, server)));
    let down = known.filter_map(|(host, server)| {
        let server = servers.iter().find(|it| it.name == *server)?;
        let is_down = server.status.starts_with("DOWN");
        is_down.then(|| {
            Finding::new("balancer-web-host", format!("`{host}` gets no work from the balancer"))
                .evidence([server.why()])
                .next(format!("`hwctl doctor --limit {host}` looks for the cause"))
        })
    });
    down.collect()
}
