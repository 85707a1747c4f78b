//! `hwctl destroy`: takes away what hwctl made, and leaves the rest as it was.

use anyhow::Result;

use crate::cli::DestroyArgs;
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{self, Ended, Job, Order};
use crate::command::run::back::Back;
use crate::engine::protocol::{DESTROY, Goal};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::Emit;

/// Runs `hwctl destroy`.
pub fn run(kinds: Kinds, args: DestroyArgs) -> Result<Exit> {
    let hosts = args.back.plan.hosts.and(&args.named);
    let job = Destroy { purge_data: args.purge_data, back: Back::new(args.back, DESTROY)? };
    fleet::run(kinds, &hosts, job.back.show(), job)
}

struct Destroy {
    purge_data: bool,
    back: Back,
}

impl Job for Destroy {
    fn order(&self) -> Order {
        Order::OutwardsIn
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        self.back.on_host(work, Goal::Original { purge_data: self.purge_data }, emit).await
    }
}
