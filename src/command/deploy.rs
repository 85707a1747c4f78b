//! `hwctl deploy`: another version of the API, or the one of before.

use anyhow::{Context as _, Result};

use super::back::Back;
use super::fleet::{self, Ended, Job};
use super::hosts::Work;
use super::provision;
use crate::cli::{BackArgs, DeployArgs, PartArgs, ProvisionArgs};
use crate::engine::protocol::Goal;
use crate::failure::{Exit, Failure};
use crate::remote::Tell;

/// The part of the stack that the API is.
const TAG: &str = "api";

/// Runs `hwctl deploy`.
pub fn run(args: DeployArgs) -> Result<Exit> {
    let DeployArgs { binary, rollback, check, mut plan } = args;
    if rollback {
        let hosts = plan.hosts.clone();
        let job = Rollback(Back::new(BackArgs { plan, check, yes: true }, "deploy --rollback")?);
        return fleet::run(&hosts, job.0.show(), job);
    }
    if let Some(path) = binary {
        // What is relative in a variable would begin at the inventory's folder.
        let path = std::path::absolute(path).context("find the binary")?;
        plan.hosts.set.push(format!("api.binary={}", path.display()));
    }
    let parts = PartArgs { only: vec![TAG.to_owned()], skip: Vec::new() };
    let args = ProvisionArgs { plan, parts, check, diff: check, keep_on_failure: false };
    provision::run_as("deploy", args)
}

struct Rollback(Back);

impl Job for Rollback {
    async fn on_host(&self, work: &Work, tell: Tell<'_>) -> Result<Ended, Failure> {
        self.0.on_host(work, Goal::BeforeLast { verb: "deploy".to_owned() }, tell).await
    }
}
