//! Redis in its container, and docker under it.

use crate::engine::{Case, Symptoms, tail};
use crate::event::{Finding, Fix};
use crate::resource::{PublishedPort, Resource, listeners};
use crate::spec::LogSource;

pub(super) async fn diagnose(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Option<Finding> {
    let container = symptoms.resources_of(case.part).find_map(|resource| match resource {
        Resource::Container(container) => Some(container),
        _ => None,
    })?;
    let fix = || Fix::Provision { tags: vec![case.part.name.clone()] };
    let next = "`hwctl provision --only redis` starts it";
    if !symptoms.units.is_active("docker.service") {
        return Some(
            Finding::new("docker-stopped", "docker does not run, and Redis's container with it")
                .evidence([symptoms.units.state("docker.service")])
                .next(next)
                .fix(fix()),
        );
    }
    let name = container.name.as_str();
    let docker = match case.host.docker().await {
        Ok(docker) => docker,
        Err(error) => {
            return Some(
                Finding::new("docker-silent", "docker runs and does not answer")
                    .evidence([format!("{error:#}")])
                    .next("`systemctl restart docker` on the host; its journal says why"),
            );
        }
    };
    let inspected = docker.inspect_container(name, None).await;
    let Ok(inspected) = inspected else {
        return Some(
            Finding::new("redis-absent", format!("Redis's container `{name}` is gone"))
                .evidence(inspected.err().map(|error| error.to_string()))
                .next("`hwctl provision --only redis` makes it again; its data is in the volume")
                .fix(fix()),
        );
    };
    let state = inspected.state.unwrap_or_default();
    if state.paused == Some(true) {
        return Some(
            Finding::new("redis-paused", "Redis is paused: somebody has stopped it for a while")
                .evidence([format!("container `{name}` is paused")])
                .next(format!("`sudo docker unpause {name}` on the host, once that is over")),
        );
    }
    if state.running == Some(true) {
        return None;
    }
    let status = state.status.map(|status| status.to_string()).unwrap_or_default();
    let mut evidence = vec![format!(
        "container `{name}` is {status}, exit status {}",
        state.exit_code.unwrap_or_default()
    )];
    // Such as "port is already allocated", where another container has it.
    evidence.extend(state.error.filter(|error| !error.is_empty()));
    if state.oom_killed == Some(true) {
        evidence.push("it was killed for using more memory than it may".to_owned());
    }
    let taken = listeners().into_iter().find(|listener| {
        let has_port = |port: &PublishedPort| port.host_port == listener.port;
        container.ports.iter().any(has_port) && !listener.is_of_docker()
    });
    if let Some(taken) = taken {
        evidence.push(format!("port {} is taken by {}", taken.port, taken.holder()));
        return Some(
            Finding::new("redis-port", "another program has Redis's port").evidence(evidence).next(
                "choose a free port as `redis.port` in the inventory, or free this one; then \
                     `hwctl provision --only redis`",
            ),
        );
    }
    let log = LogSource::Container(name.to_owned());
    evidence.extend(tail(case.host, &log, 3).await.unwrap_or_default());
    Some(
        Finding::new("redis-stopped", "Redis does not run")
            .evidence(evidence)
            .next(next)
            .fix(fix()),
    )
}
