//! The balancer on the host.

mod diagnosis;
mod socket;
mod state;
mod turn;

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{CONFIGURATION, FOLDER, HTTPS_PORT, SERVICE, virtual_address};
use crate::engine::{Case, Driver, Later, PackageContents, Symptoms, Turn, Turned};
use crate::event::{Finding, Measure, Sign};
use crate::resource::{Host, last_lines};
use socket::Server;

pub use socket::require_answer;
pub use state::keep_state;

/// How long the balancer that has the shared address may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// The driver of the balancer. The specs of its parts have a setting for each probe of a web host: its name in HAProxy.
#[derive(Debug)]
pub(crate) struct Balancer;

impl Driver for Balancer {
    fn name(&self) -> &'static str {
        "balancer"
    }

    fn package_contents(&self) -> &'static [PackageContents] {
        const fn package(name: &'static str, units: &'static [&'static str]) -> PackageContents {
            PackageContents { name, units, configuration: &[FOLDER], folders: &[] }
        }
        const { &[package("haproxy", &[SERVICE]), package("keepalived", &[virtual_address::SERVICE])] }
    }

    fn inspect<'a>(&'a self, probe: &'a str, case: &'a Case<'a>) -> Later<'a, String> {
        Box::pin(async move {
            if case.part.name == virtual_address::PART {
                return has_shared_address(case).await;
            }
            match case.part.settings.get(probe) {
                Some(server) => web_host(server, &socket::servers(case.host, socket::WEB).await?),
                None => valid(case.host).await,
            }
        })
    }

    fn signs<'a>(&'a self, case: &'a Case<'a>) -> Later<'a, Vec<Sign>> {
        Box::pin(async {
            if case.part.name == virtual_address::PART {
                return Ok(Vec::new());
            }
            let servers = socket::servers(case.host, socket::WEB).await?;
            let connections = servers.iter().map(|server| server.total).sum();
            Ok(vec![Sign::new("connections", Measure::Count(connections))])
        })
    }

    /// A new process takes over the listening sockets, the old one finishes its connections.
    fn restart<'a>(&'a self, case: &'a Case<'a>) -> Later<'a, ()> {
        Box::pin(async {
            case.host.run("systemctl", &["reload-or-restart", SERVICE]).await.map(drop)
        })
    }

    fn turn<'a>(
        &'a self,
        case: &'a Case<'a>,
        host: &'a str,
        turn: Turn,
        patience: Duration,
    ) -> Later<'a, Turned> {
        Box::pin(turn::turn(case, host, turn, patience))
    }

    fn diagnose<'a>(
        &'a self,
        case: &'a Case<'a>,
        symptoms: &'a Symptoms<'a>,
    ) -> Later<'a, Vec<Finding>> {
        Box::pin(diagnosis::diagnose(case, symptoms))
    }
}

/// Who has the shared address.
async fn has_shared_address(case: &Case<'_>) -> Result<String> {
    let address = case.part.settings.get(virtual_address::ADDRESS);
    let address: IpAddr = address.context("its spec has no address")?.parse()?;
    // Only an address of the host itself can be bound.
    if UdpSocket::bind((address, 0)).is_ok() {
        return Ok(format!("this host has {address}"));
    }
    match timeout(PATIENCE, TcpStream::connect((address, HTTPS_PORT))).await {
        Ok(Ok(_)) => Ok(format!("another balancer has {address}")),
        Ok(Err(_)) | Err(_) => bail!("nobody answers at {address}"),
    }
}

/// What HAProxy says of its configuration, where it does not accept it.
async fn refusal(host: &Host) -> Result<Option<String>> {
    let output = host.output("/usr/sbin/haproxy", &["-c", "-f", CONFIGURATION]).await?;
    Ok((!output.status.success()).then(|| last_lines(&output, 3)))
}

async fn valid(host: &Host) -> Result<String> {
    match refusal(host).await? {
        None => Ok("valid".to_owned()),
        Some(why) => bail!("{why}"),
    }
}

/// Whether the balancer gives work to a web host.
fn web_host(name: &str, servers: &[Server]) -> Result<String> {
    let server = servers.iter().find(|server| server.name == name);
    let server = server.with_context(|| format!("HAProxy does not know `{name}` yet"))?;
    let connections = match server.current {
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    };
    match server.status.as_str() {
        status if status.starts_with("UP") => Ok(connections),
        status if status.starts_with("DRAIN") => Ok(format!("gets no new work, {connections}")),
        status if status.starts_with("MAINT") => bail!("it was taken out of service by hand"),
        status => bail!("{status}: {}", server.why()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status: &str) -> Server {
        Server {
            name: "web1".to_owned(),
            status: status.to_owned(),
            check: "L7STS".to_owned(),
            check_code: "503".to_owned(),
            address: "192.0.2.1:8443".to_owned(),
            current: 1,
            total: 7,
        }
    }

    #[test]
    fn a_web_host_is_well_while_it_gets_work_or_is_drained() {
        let look = |status: &str| web_host("web1", &[server(status)]).map_err(|e| e.to_string());

        assert_eq!(look("UP").unwrap(), "1 connection");
        assert_eq!(look("UP 1/2").unwrap(), "1 connection");
        assert_eq!(look("DRAIN").unwrap(), "gets no new work, 1 connection");
        assert_eq!(look("DOWN").unwrap_err(), "DOWN: its check fails with L7STS 503");
        assert!(look("MAINT").unwrap_err().contains("by hand"));
        assert!(web_host("web2", &[server("UP")]).is_err());
    }
}
