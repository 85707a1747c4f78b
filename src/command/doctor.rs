//! `hwctl doctor`: the cause of a fault with its evidence and the next step; mends what is safe.

use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use crate::cli::DoctorArgs;
use crate::client::{status, url, url_host};
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{self, Ended, Job, Show};
use crate::command::provision::{load_templates, make_stack};
use crate::command::run::expected::{expected, urls};
use crate::command::run::{Run, run_info};
use crate::engine::Examination;
use crate::engine::protocol::{Goal, RestartRequest};
use crate::event::{EventKind, Finding, Fix, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::{HTTPS, Kinds, Network, Site, Sites, Stack};
use crate::remote::{Emit, Engine, Route};
use crate::resource::Secret;
use crate::spec::{Scope, endpoint_of, endpoints_of, restart_of};

/// How often a mended host is looked at again: one fault may hide the next.
const ROUNDS: usize = 3;

/// What the host's journal calls what mends it.
const VERB: &str = "doctor";

/// Runs `hwctl doctor`.
pub fn run(kinds: Kinds, mut args: DoctorArgs) -> Result<Exit> {
    let token = match args.token.take() {
        Some(token) if token == "-" => Some(std::io::read_to_string(std::io::stdin())?),
        token => token,
    };
    let token = token.map(Secret::new);
    let hosts = args.hosts.and(&args.named);
    let show = Show { json: args.json, diff: true, check: false };
    fleet::run(kinds, &hosts, show, Doctor { args, token })
}

struct Doctor {
    args: DoctorArgs,
    token: Option<Secret>,
}

impl Job for Doctor {
    fn needs(&self) -> Scope {
        Scope::All
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let templates = load_templates(work)?;
        let mut engine = Engine::start(&work.target, emit).await?;
        let made = make_stack(work, &engine, &templates)?;
        let mut outcome = Outcome::Unchanged;
        for round in 0.. {
            emit(EventKind::Step { message: "examining the host".to_owned(), fraction: None });
            let findings = self.examine(&mut engine, &made, work, emit).await?;
            emit(EventKind::Diagnosis { findings: findings.clone() });
            let Some(first) = findings.first() else { break };
            let fix = findings.iter().find_map(|finding| finding.fix.clone());
            match fix {
                Some(fix) if self.args.fix && round < ROUNDS => {
                    self.mend(&fix, &mut engine, &made, work, emit).await?;
                    outcome = Outcome::Changed;
                }
                _ => {
                    engine.hang_up().await;
                    return Err(failure(first, self.args.fix));
                }
            }
        }
        let engine_host = engine.route.host.clone();
        engine.hang_up().await;
        Ok(Ended { outcome, urls: urls(&engine_host, work) })
    }
}

fn failure(first: &Finding, fixing: bool) -> Failure {
    let failure = Failure::new(Exit::Failed, first.what.clone());
    match &first.fix {
        Some(_) if !fixing && !first.next.contains("doctor --fix") => {
            failure.hint("run `hwctl doctor --fix` to do this")
        }
        _ => failure.hint(first.next.clone()),
    }
}

impl Doctor {
    /// What the host finds, and what only a client of it can see.
    async fn examine(
        &self,
        engine: &mut Engine,
        made: &Stack,
        work: &Work,
        emit: Emit<'_>,
    ) -> Result<Vec<Finding>, Failure> {
        let now_ms = self.args.now.map_or_else(
            || Timestamp::now().as_millisecond(),
            |seconds| seconds.saturating_mul(1000),
        );
        let resources = made.resources.clone();
        let parts = made.parts.clone();
        let asked = Examination { resources, parts, now_ms, token: self.token.clone() };
        let mut findings = engine.examine(asked, emit).await?;
        if let Some(path) = &self.args.url {
            let client = engine.facts.ssh_client;
            let seen = at_url(path, &engine.route, client, work, findings.is_empty()).await;
            // What is not as declared, and yet serves, explains an answer only if nothing else does.
            let drift = findings.pop_if(|finding| finding.cause == Finding::DRIFT);
            findings.extend(seen.into_iter().chain(drift));
        }
        Ok(findings)
    }

    async fn mend(
        &self,
        fix: &Fix,
        engine: &mut Engine,
        made: &Stack,
        work: &Work,
        emit: Emit<'_>,
    ) -> Result<(), Failure> {
        let tags = match fix {
            Fix::Provision { tags } => tags.clone(),
            Fix::RestartSocket { name } => {
                let found = restart_of(&made.parts, name);
                let (part, restart) =
                    found.with_context(|| format!("the stack has no restart `{name}`"))?;
                let message = format!("restarting {}", restart.label);
                emit(EventKind::Step { message, fraction: None });
                let asked = RestartRequest {
                    part: part.clone(),
                    restart: restart.clone(),
                    run: run_info(VERB),
                    patience_s: self.args.wait.into(),
                    endpoints: endpoints_of(&made.parts),
                };
                return engine.restart(asked, emit).await.map(|_| ());
            }
        };
        let host = engine.route.host.clone();
        let outside = |facts: &_, exposure: &_, pins| {
            let mut expected = expected(&host, work, facts, exposure, pins);
            expected.closed.clear();
            expected
        };
        let goal = Goal::Declared {
            resources: made.resources.clone(),
            parts: made.parts.clone(),
            scope: Scope::Only(tags),
            hash_key: None,
        };
        let run = Run::new(VERB, goal, Duration::from_secs(self.args.wait.into()))
            .uploads(made.uploads.clone())
            .checked_from_outside(&outside, true);
        run.plan(engine, emit).await?.carry_out(engine, emit).await
    }
}

/// What is seen at one path from outside, where the host itself explains it or not.
async fn at_url(
    path: &str,
    route: &Route,
    client: Option<std::net::IpAddr>,
    work: &Work,
    is_healthy: bool,
) -> Option<Finding> {
    let endpoint = endpoint_of(&work.parts(), HTTPS)?;
    let url = url(&endpoint, &url_host(&route.host), path);
    let seen = match route.way().await {
        Ok(way) => status(&way, &endpoint, &route.host, path).await,
        Err(error) => Err(error),
    };
    let sites = work.vars.get::<Sites>().0.iter().filter(|(_, site)| site.host.is_none());
    let site = sites.filter(|(_, site)| below(path, &site.path));
    let site = site.max_by_key(|(_, site)| site.path.len());
    match (seen, site) {
        (Ok(403), Some((name, site))) if is_kept_out(site, client) => {
            Some(not_allowed(&url, name, site, client, work))
        }
        (Ok(status @ 400..), _) if is_healthy && status != 401 => Some(
            Finding::new("answer", format!("`{url}` answers {status}"))
                .evidence(["the host itself finds no fault".to_owned()])
                .next("compare the path with `sites` of the inventory; `hwctl history` tells what changed"),
        ),
        (Err(error), _) if is_healthy => Some(
            Finding::new("unreachable", format!("`{url}` does not answer from here"))
                .evidence([format!("{error:#}"), "the host itself finds no fault".to_owned()])
                .next("look for a firewall between here and the host, such as the provider's"),
        ),
        _ => None,
    }
}

/// Whether the site has a list of addresses, and this one is not on it as far as is known.
fn is_kept_out(site: &Site, client: Option<std::net::IpAddr>) -> bool {
    let is_listed = client.is_some_and(|us| site.allow.iter().any(|network| network.contains(us)));
    !site.allow.is_empty() && !is_listed
}

/// Whether a URL's path, which may have a query, is that of a site or lies below it.
fn below(path: &str, site: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let site = site.trim_end_matches('/');
    path.strip_prefix(site).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn not_allowed(
    url: &str,
    name: &str,
    site: &Site,
    client: Option<std::net::IpAddr>,
    work: &Work,
) -> Finding {
    let us = client.map_or("your address".to_owned(), |client| client.to_string());
    let allowed: Vec<_> = site.allow.iter().map(Network::as_str).collect();
    let place = work.place(&["sites", name, "allow"]);
    let written = place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    let next = match place {
        Some(place) => {
            format!("add `{us}` to the list at {place}, then `hwctl provision --only nginx`")
        }
        None => format!(
            "add `{us}` to `sites.{name}.allow` of the inventory, then `hwctl provision --only nginx`"
        ),
    };
    Finding::new("address-not-allowed", format!("{us} is not on the list of site `{name}`"))
        .evidence([
            format!("`{url}` answers 403 to {us}"),
            format!("`sites.{name}.allow` has {}{written}", allowed.join(", ")),
        ])
        .next(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_no_part_of_a_path() {
        for path in ["/close", "/close/", "/close?x=1", "/close/a#b"] {
            assert!(below(path, "/close/"), "{path}");
        }
        for path in ["/closer", "/open?/close", "/"] {
            assert!(!below(path, "/close/"), "{path}");
        }
    }
}
