//! Why a container does not run, and Docker under it.

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerState, HealthStatusEnum};

use crate::engine::{Case, PackageContents, Symptoms, tail};
use crate::event::{Finding, Fix};
use crate::resource::{
    Container, PublishedPort, RecentRestarts, Resource, listeners, restarts_of_container,
};
use crate::spec::LogSource;

/// What is installed with Docker's package.
pub(in crate::part) const PACKAGE: PackageContents = PackageContents {
    name: "docker.io",
    units: &["docker.service"],
    configuration: &[],
    folders: &[],
};

/// How findings speak of a container.
pub(in crate::part) struct Subject {
    /// What runs in it: "Redis".
    pub(in crate::part) name: String,
    /// The first word of the causes, such as `redis` of `redis-stopped`.
    pub(in crate::part) cause: &'static str,
    /// The variable of the inventory that has its port; None where hwctl chooses it.
    pub(in crate::part) port: Option<String>,
}

impl Subject {
    fn finding(&self, cause: &str, what: impl Into<String>) -> Finding {
        Finding::new(&format!("{}-{cause}", self.cause), what)
    }
}

/// Looks for the reason why the container of a part does not work.
pub(in crate::part) async fn diagnose(
    case: &Case<'_>,
    symptoms: &Symptoms<'_>,
    subject: &Subject,
) -> Option<Finding> {
    let container = symptoms.resources_of(case.part).find_map(|resource| match resource {
        Resource::Container(container) => Some(container),
        _ => None,
    })?;
    diagnose_one(case, symptoms, container, subject).await
}

/// The same for one container of several that a part has.
pub(in crate::part) async fn diagnose_one(
    case: &Case<'_>,
    symptoms: &Symptoms<'_>,
    container: &Container,
    subject: &Subject,
) -> Option<Finding> {
    let (what, part) = (&subject.name, &case.part.name);
    let fix = || Fix::Provision { tags: vec![part.clone()] };
    if !symptoms.units.is_active("docker.service") {
        let told = format!("docker does not run, and {what}'s container with it");
        let finding = Finding::new("docker-stopped", told);
        let state = symptoms.units.state("docker.service");
        return Some(finding.evidence([state]).next(starts(part)).fix(fix()));
    }
    let docker = match case.host.docker().await {
        Ok(docker) => docker,
        Err(error) => {
            let finding = Finding::new("docker-silent", "docker runs but does not answer");
            let next = "`journalctl -u docker` on the host shows why; `sudo systemctl restart docker` restarts it, and may interrupt containers";
            return Some(finding.evidence([format!("{error:#}")]).next(next));
        }
    };
    let name = &container.name;
    match container_of(docker, name).await {
        Err(_) if docker.inspect_image(&container.image).await.is_err() => {
            let told = format!("the image of {what} is not on the host");
            let finding = subject.finding("image", told);
            let next = format!(
                "`hwctl provision --only {part}` brings it, or says why it cannot be pulled"
            );
            let evidence = format!("docker has no image `{}`", container.image);
            Some(finding.evidence([evidence]).next(next).fix(fix()))
        }
        Err(error) => {
            let finding = subject.finding("absent", format!("{what}'s container `{name}` is gone"));
            let next = format!(
                "`hwctl provision --only {part}` makes it again; its data is in the volume"
            );
            Some(finding.evidence([error.to_string()]).next(next).fix(fix()))
        }
        Ok(found) => {
            let counted = found.restart_count.unwrap_or_default();
            let recent = restarts_of_container(case.host, name, counted).await;
            let state = found.state.unwrap_or_default();
            explain(case, container, (state, recent), subject).await
        }
    }
}

/// The next step where a start alone may help.
fn starts(part: &str) -> String {
    format!("`hwctl provision --only {part}` starts it")
}

/// The container of exactly this name. Docker takes the beginning of an id for a name as well.
async fn container_of(docker: &Docker, name: &str) -> anyhow::Result<ContainerInspectResponse> {
    let found = docker.inspect_container(name, None).await?;
    anyhow::ensure!(
        found.name.as_ref().is_some_and(|found| found.trim_start_matches('/') == name),
        "docker has no container `{name}`"
    );
    Ok(found)
}

async fn explain(
    case: &Case<'_>,
    container: &Container,
    (state, recent): (ContainerState, RecentRestarts),
    subject: &Subject,
) -> Option<Finding> {
    let (name, what, part) = (&container.name, &subject.name, &case.part.name);
    if state.paused == Some(true) {
        let told = format!("{what} is paused: somebody has stopped it for a while");
        let next = format!("`sudo docker unpause {name}` on the host, once that is over");
        let evidence = format!("container `{name}` is paused");
        return Some(subject.finding("paused", told).evidence([evidence]).next(next));
    }
    let has_run_out = state.oom_killed == Some(true) || recent.ran_out_of_memory;
    if state.running == Some(true) && state.restarting != Some(true) && recent.are_many() {
        let mut evidence = vec![recent.text()];
        evidence.extend(last_lines(case, name).await);
        return Some(does_not_stay(case, subject, has_run_out).evidence(evidence));
    }
    if state.running == Some(true) && state.restarting != Some(true) {
        return unhealthy(case, container, &state, subject).await;
    }
    let status = state.status.map(|status| status.to_string()).unwrap_or_default();
    let mut evidence = vec![format!(
        "container `{name}` is {status}, exit status {}",
        state.exit_code.unwrap_or_default()
    )];
    // Such as "port is already allocated", where another container has it.
    evidence.extend(state.error.filter(|error| !error.is_empty()));
    if has_run_out {
        evidence.push("it was killed for using more memory than it may".to_owned());
        evidence.extend(last_lines(case, name).await);
        return Some(does_not_stay(case, subject, has_run_out).evidence(evidence));
    }
    let taken = listeners().into_iter().find(|listener| {
        let has_port = |port: &PublishedPort| port.host_port == listener.port;
        container.ports.iter().any(has_port) && !listener.is_of_docker()
    });
    if let Some(taken) = taken {
        evidence.push(format!("port {} is taken by {}", taken.port, taken.holder()));
        let free = match &subject.port {
            Some(port) => {
                format!("choose a free port as `{port}` in the inventory, or free this one")
            }
            None => "free the port".to_owned(),
        };
        let next = format!("{free}; then `hwctl provision --only {part}`");
        let finding = subject.finding("port", format!("another program has {what}'s port"));
        return Some(finding.evidence(evidence).next(next));
    }
    evidence.extend(last_lines(case, name).await);
    let finding = subject.finding("stopped", format!("{what} does not run"));
    let fix = Fix::Provision { tags: vec![part.clone()] };
    Some(finding.evidence(evidence).next(starts(part)).fix(fix))
}

/// A container that ends again and again.
fn does_not_stay(case: &Case<'_>, subject: &Subject, has_run_out: bool) -> Finding {
    let (what, part) = (&subject.name, &case.part.name);
    if !has_run_out {
        let finding = subject.finding("failing", format!("{what} does not stay up"));
        return finding.next("fix what its log reports");
    }
    let finding = subject.finding("memory", format!("{what} needs more memory than it may use"));
    finding.next(format!(
        "give it more as `memory` in the inventory, then `hwctl provision --only {part}`"
    ))
}

/// A container that runs, and whose own health check fails.
async fn unhealthy(
    case: &Case<'_>,
    container: &Container,
    state: &ContainerState,
    subject: &Subject,
) -> Option<Finding> {
    let health = state.health.as_ref()?;
    if health.status != Some(HealthStatusEnum::UNHEALTHY) {
        return None;
    }
    let checks = container.healthcheck.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let said = health.log.iter().flatten().last().and_then(|last| last.output.as_deref());
    let said = said.unwrap_or_default().lines().last().unwrap_or_default().trim();
    let mut evidence = vec![format!("its health check `{checks}` fails: {said}")];
    evidence.extend(last_lines(case, &container.name).await);
    let finding = subject.finding("unhealthy", format!("{} runs and is not healthy", subject.name));
    let next = format!("fix what its log reports, then `hwctl restart {}`", case.part.name);
    Some(finding.evidence(evidence).next(next))
}

async fn last_lines(case: &Case<'_>, container: &str) -> Vec<String> {
    let log = LogSource::Container(container.to_owned());
    tail(case.host, &log, 3).await.unwrap_or_default()
}
