//! The way by which a host's pages are looked at from outside. What the operator's position does not let
//! be seen is no fault of the host, so every verb that looks from outside goes through here.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::client::{Expected, Seen, Way, probe};
use crate::event::{Check, EventKind};
use crate::failure::Failure;
use crate::remote::{Emit, Engine, WebPorts};
use crate::resource::Facts;
use crate::spec::Endpoint;

/// How long services may take until they look right from outside.
const SETTLE: Duration = Duration::from_secs(8);
/// How long until they are looked at again.
const PAUSE: Duration = Duration::from_millis(250);

/// How the pages of a host are looked at.
#[derive(Clone, Debug)]
pub(in crate::command) enum Vantage {
    /// As any client does, or by the jump host or proxy that ssh goes through.
    AsClient(Way),
    /// From the host itself, which is this machine.
    FromHost(Way),
    /// Through the session's own connection, since the web ports do not let this machine in.
    ThroughSession(Way),
    /// Not at all.
    Blocked {
        /// What is in the way.
        why: String,
    },
}

impl Vantage {
    /// Finds the way to the endpoints that a host may have.
    pub(in crate::command) async fn find(engine: &Engine, endpoints: &[Endpoint]) -> Self {
        match engine.route.web_ports(endpoints).await {
            WebPorts::Answer => Self::as_client(engine).await,
            WebPorts::Silent => Self::through_session(engine).await,
        }
    }

    /// The way that clients take, whatever the web ports do. A name that only ssh knows has none.
    pub(in crate::command) async fn as_client(engine: &Engine) -> Self {
        match engine.route.way().await {
            Ok(way) if engine.route.is_here => Self::FromHost(way),
            Ok(way) => Self::AsClient(way),
            Err(_) => Self::through_session(engine).await,
        }
    }

    async fn through_session(engine: &Engine) -> Self {
        let ssh_port = engine.facts.ssh_ports.first().copied().unwrap_or(22);
        if let Some(way) = engine.route.way_inside(ssh_port).await {
            return Self::ThroughSession(way);
        }
        let why = "the web ports do not answer this machine, and the host's sshd does not allow port forwarding";
        Self::Blocked { why: why.to_owned() }
    }

    /// The way, if there is one.
    pub(in crate::command) fn way(&self) -> Option<&Way> {
        match self {
            Self::AsClient(way) | Self::FromHost(way) | Self::ThroughSession(way) => Some(way),
            Self::Blocked { .. } => None,
        }
    }

    /// Whether the web ports let this machine in.
    pub(in crate::command) fn is_open(&self) -> bool {
        matches!(self, Self::AsClient(_) | Self::FromHost(_))
    }

    /// The address that the host sees a client of this way come from, as far as it is known.
    pub(in crate::command) fn client(&self, facts: &Facts) -> Option<IpAddr> {
        match self {
            Self::ThroughSession(_) => Some(Ipv4Addr::LOCALHOST.into()),
            Self::FromHost(_) => None,
            Self::AsClient(_) | Self::Blocked { .. } => facts.ssh_client,
        }
    }

    /// What is expected by this way.
    fn expected(&self, expected: Expected) -> Expected {
        match self {
            Self::FromHost(_) | Self::ThroughSession(_) => expected.from_the_host_itself(),
            _ => expected,
        }
    }

    /// Names the way in what was seen.
    fn shown(&self, mut check: Check) -> Check {
        if let Self::ThroughSession(_) = self {
            check.detail = format!("{}, through ssh", check.detail);
        }
        check
    }

    /// Looks once.
    pub(in crate::command) async fn check(&self, expected: Expected) -> Vec<Check> {
        let Some(way) = self.way() else { return Vec::new() };
        let seen = probe(way, &self.expected(expected)).await;
        seen.into_iter().map(|Seen { check, .. }| self.shown(check)).collect()
    }

    /// Looks until all is right. Services that were just started may need a moment: the API finds Redis
    /// again within 2 s. What was `wrong_before` is not waited for.
    pub(in crate::command) async fn settled(
        &self,
        expected: &Expected,
        wrong_before: &[String],
    ) -> Vec<Check> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let checks = self.check(expected.clone()).await;
            let settled = |check: &Check| check.ok || wrong_before.contains(&check.name);
            if checks.iter().all(settled) || Instant::now() >= deadline {
                return checks;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Says how the host is looked at, where that is not as a client does.
    pub(in crate::command) fn emit(&self, emit: Emit<'_>) {
        match self {
            Self::AsClient(way) if !way.is_loopback() => {
                emit(EventKind::Step {
                    message: "looking from outside".to_owned(),
                    fraction: None,
                });
            }
            Self::AsClient(_) | Self::FromHost(_) => {
                let message = "looking at what this host serves".to_owned();
                emit(EventKind::Step { message, fraction: None });
            }
            Self::ThroughSession(_) => {
                emit(EventKind::Step { message: "looking through ssh".to_owned(), fraction: None });
            }
            Self::Blocked { why } => {
                emit(EventKind::Warning { message: format!("not checked from outside: {why}") });
            }
        }
    }
}

/// Where the web ports do not let this machine in: whether that is the host's own firewall, which is a
/// fault, or something on the way, which is none. Nothing where they do.
pub(in crate::command) async fn web_ports(
    vantage: &Vantage,
    engine: &mut Engine,
    endpoints: &[Endpoint],
    emit: Emit<'_>,
) -> Result<Option<Check>, Failure> {
    if vantage.is_open() {
        return Ok(None);
    }
    let exposure = engine.exposure(emit).await?;
    let ports = endpoints.iter().map(|endpoint| endpoint.port);
    let shut: Vec<_> = ports.filter(|port| !exposure.lets_in(*port)).collect();
    let seen = match shut.as_slice() {
        [] => Ok(match vantage {
            Vantage::Blocked { why } => {
                format!("open on the host, but not checked from outside: {why}")
            }
            _ => "open on the host, but something between this machine and the host blocks them"
                .to_owned(),
        }),
        shut => {
            let shut: Vec<_> = shut.iter().map(u16::to_string).collect();
            Err(anyhow!("the host's own firewall does not let in port {}", shut.join(", ")))
        }
    };
    Ok(Some(Check::of("web ports", seen)))
}
