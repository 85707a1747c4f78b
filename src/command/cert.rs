//! `hwctl cert`: what a host's certificate says and whether it is what is served; a new one.

use anyhow::Result;
use jiff::Timestamp;

use crate::cli::{CertArgs, CertCommand, RenewArgs, ShowCertArgs};
use crate::client;
use crate::command::fleet::hosts::{Work, require_part};
use crate::command::fleet::{self, Ended, Job, Show};
use crate::command::run::Run;
use crate::command::run::expected::expected;
use crate::command::run::local;
use crate::command::run::vantage::Vantage;
use crate::engine::protocol::Goal;
use crate::event::{EventKind, Outcome, Served};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Emit, Engine};
use crate::resource::CertificateInfo;
use crate::spec::{Endpoint, Pin, endpoints_of};

/// The part that has the certificates.
const PART: &str = "tls";
/// What the host's journal calls a renewal.
pub(super) const RENEW: &str = "cert renew";

/// Runs `hwctl cert`.
pub fn run(kinds: Kinds, args: CertArgs) -> Result<Exit> {
    match args.command {
        CertCommand::Show(args) => {
            let hosts = args.hosts.and(&args.named);
            fleet::run(kinds, &hosts, Show { json: args.json, diff: false, check: false }, args)
        }
        CertCommand::Renew(args) if args.here => local::renew(goal(&args)),
        CertCommand::Renew(args) => {
            let hosts = args.plan.hosts.and(&args.named);
            fleet::run(
                kinds,
                &hosts,
                Show { json: args.plan.json, diff: args.check, check: args.check },
                args,
            )
        }
    }
}

fn goal(args: &RenewArgs) -> Goal {
    Goal::NewCertificate { days: args.days, if_expires_within: args.if_expires_within }
}

impl Job for ShowCertArgs {
    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        require_part(works, PART)
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        if work.part(PART).is_err() {
            return Ok(Outcome::Unchanged.into());
        }
        let mut engine = Engine::start(&work.target, emit).await?;
        show(&mut engine, work, emit).await?;
        engine.hang_up().await;
        Ok(Outcome::Answered.into())
    }
}

impl Job for RenewArgs {
    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        require_part(works, PART)
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        if work.part(PART).is_err() {
            return Ok(Outcome::Unchanged.into());
        }
        let mut engine = Engine::start(&work.target, emit).await?;
        let host = engine.route.host.clone();
        let outside = |facts: &_, exposure: &_, pins| {
            let mut expected = expected(&host, work, facts, exposure, pins);
            // No port is opened or closed.
            expected.closed.clear();
            expected
        };
        let run = Run::with(RENEW, goal(self), &self.plan)
            .only_planned(self.check)
            .checked_from_outside(&outside, true);
        let planned = run.plan(&mut engine, emit).await?;
        let outcome = planned.outcome();
        planned.carry_out(&mut engine, emit).await?;
        show(&mut engine, work, emit).await?;
        engine.hang_up().await;
        Ok(outcome.into())
    }
}

/// Reports what each certificate says. One that has expired, lacks its key or is not served is a failure.
async fn show(engine: &mut Engine, work: &Work, emit: Emit<'_>) -> Result<(), Failure> {
    let endpoints = endpoints_of(&work.parts());
    let certificates = engine.certificates(emit).await?;
    let vantage = Vantage::find(engine, &endpoints).await;
    let mut worst = None;
    for info in certificates {
        let path = Pin::File(info.path.clone());
        let endpoint = endpoints.iter().find(|endpoint| endpoint.pin == path);
        let served = served(&vantage, endpoint, &engine.route.host, &info).await;
        worst = worst.or_else(|| failure(&info, &served));
        emit(EventKind::Certificate { certificate: info, served });
    }
    worst.map_or(Ok(()), Err)
}

async fn served(
    vantage: &Vantage,
    endpoint: Option<&Endpoint>,
    host: &str,
    info: &CertificateInfo,
) -> Served {
    let way = match vantage {
        Vantage::AsClient(way) | Vantage::FromHost(way) | Vantage::ThroughSession(way) => way,
        Vantage::Blocked { why } => return Served::NotLookedAt { why: why.clone() },
    };
    let Some(endpoint) = endpoint else {
        let why = "the inventory has nothing that serves it".to_owned();
        return Served::NotLookedAt { why };
    };
    match client::served(way, endpoint, host).await {
        Ok(sha256) if sha256 == info.sha256 => Served::This,
        Ok(sha256) => Served::Other { sha256 },
        Err(error) => Served::Nothing { why: format!("{error:#}") },
    }
}

fn failure(info: &CertificateInfo, served: &Served) -> Option<Failure> {
    let renew = "`hwctl cert renew` makes a new one";
    let (what, hint) = if info.until <= Timestamp::now().as_second() {
        ("the certificate has expired", renew)
    } else if !info.key_matches {
        ("the private key does not match the certificate", renew)
    } else {
        match served {
            Served::This | Served::NotLookedAt { .. } => return None,
            Served::Other { .. } => (
                "the host serves another certificate",
                "`hwctl restart nginx` makes nginx serve this one",
            ),
            Served::Nothing { .. } => ("the host serves no certificate", "`hwctl doctor` says why"),
        }
    };
    Some(Failure::new(Exit::Failed, what).hint(hint))
}
