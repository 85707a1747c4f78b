//! A web host gets no more work, and then some again.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep};

use super::socket::{self, ANY, Server, WEB};
use crate::engine::{Case, Turn, Turned};
use crate::part::balancer::{ADDRESS_OF, WEB_HOST};
use crate::resource::Host;

/// How long until connections or a check are looked at again.
const PAUSE: Duration = Duration::from_millis(100);
/// Longer than the time between two checks: what a check says then is of now.
const CHECK: Duration = Duration::from_millis(1300);

pub(super) async fn turn(
    case: &Case<'_>,
    host: &str,
    turn: Turn,
    patience: Duration,
) -> Result<Turned> {
    let setting = |kind: &str| case.part.settings.get(&format!("{kind}{host}"));
    let server = setting(WEB_HOST).zip(setting(ADDRESS_OF));
    let (name, address) =
        server.with_context(|| format!("the balancer has no web host `{host}`"))?;
    match turn {
        Turn::Away => away(case.host, name, patience).await,
        Turn::Back => back(case.host, name, address, patience).await,
    }
}

async fn away(host: &Host, name: &str, patience: Duration) -> Result<Turned> {
    // Where HAProxy does not run, nobody gets work from it.
    let Ok(servers) = socket::servers(host, WEB).await else { return Ok(Turned::HadNoWork) };
    let (own, others): (Vec<&Server>, Vec<&Server>) =
        servers.iter().partition(|server| server.name == name);
    if !own.iter().any(|server| server.status.starts_with("UP")) {
        return Ok(Turned::HadNoWork);
    }
    if !others.iter().any(|server| server.status.starts_with("UP")) {
        return Ok(Turned::IsOnlyOne);
    }
    set(host, name, "drain").await?;
    let until = Instant::now() + patience;
    loop {
        let left = connections(host, name).await?;
        if left == 0 || Instant::now() >= until {
            return Ok(Turned::Away { left });
        }
        sleep(PAUSE).await;
    }
}

async fn back(host: &Host, name: &str, address: &str, patience: Duration) -> Result<Turned> {
    let why = match patience.is_zero() {
        true => None,
        false => not_able(host, name, address, patience).await?,
    };
    // Where it still cannot do its work, its check keeps work from it.
    set(host, name, "ready").await?;
    Ok(why.map_or(Turned::Back, |why| Turned::NotBack { why }))
}

/// Waits until a check of now succeeds. Returns why none does. A host that the balancer is to ask at another address is not
/// waited for: the balancer's own run tells it so.
async fn not_able(
    host: &Host,
    name: &str,
    address: &str,
    patience: Duration,
) -> Result<Option<String>> {
    sleep(CHECK).await;
    let until = Instant::now() + patience;
    loop {
        let servers = socket::servers(host, WEB).await?;
        let server = servers.iter().find(|server| server.name == name);
        let server = server.with_context(|| format!("HAProxy does not know `{name}`"))?;
        let is_able = server.check == "L7OK" && !server.status.starts_with("DOWN");
        if is_able || has_moved(&server.address, address) {
            return Ok(None);
        }
        if Instant::now() >= until {
            return Ok(Some(server.why()));
        }
        sleep(PAUSE).await;
    }
}

/// Whether HAProxy asks at another address than the declared one. A name may stand for any address.
fn has_moved(asked: &str, declared: &str) -> bool {
    match (asked.parse::<SocketAddr>(), declared.parse::<SocketAddr>()) {
        (Ok(asked), Ok(declared)) => asked != declared,
        (Ok(asked), Err(_)) => {
            declared.rsplit_once(':').is_some_and(|(_, port)| port != asked.port().to_string())
        }
        (Err(_), _) => false,
    }
}

async fn connections(host: &Host, name: &str) -> Result<u64> {
    let mut sum = 0;
    for backend in [WEB, ANY] {
        let servers = socket::servers(host, backend).await?;
        sum +=
            servers.iter().filter(|server| server.name == name).map(|it| it.current).sum::<u64>();
    }
    Ok(sum)
}

async fn set(host: &Host, name: &str, state: &str) -> Result<()> {
    for backend in [WEB, ANY] {
        let command = format!("set server {backend}/{name} state {state}");
        // HAProxy answers only what went wrong.
        let answer = socket::ask(host, &command).await?;
        if !answer.trim().is_empty() {
            bail!("HAProxy does not take `{command}`: {}", answer.trim());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::has_moved;

    #[test]
    fn a_host_has_moved_where_its_address_or_port_differs() {
        assert!(!has_moved("192.0.2.1:8443", "192.0.2.1:8443"));
        assert!(has_moved("192.0.2.1:8443", "192.0.2.1:9443"));
        assert!(has_moved("192.0.2.1:8443", "192.0.2.2:8443"));
        assert!(!has_moved("[2001:db8::1]:8443", "[2001:db8:0::1]:8443"));
        assert!(!has_moved("192.0.2.1:8443", "web1.example.org:8443"));
        assert!(has_moved("192.0.2.1:8443", "web1.example.org:9443"));
        assert!(!has_moved("", "192.0.2.1:8443"));
    }
}
