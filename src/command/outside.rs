//! What a client should see of a provisioned host, and where it serves.

use crate::inventory::{Port, Protocol, Site, Vars};
use crate::remote::{Expected, Page, shown};
use crate::resource::Facts;

/// Ports that services of this and other stacks listen on: none of them may answer from outside
/// unless it is declared.
const PRIVATE_PORTS: [u16; 16] =
    [21, 25, 111, 2375, 2376, 3000, 3306, 5000, 5432, 6379, 8000, 8080, 8443, 9090, 9100, 11211];

fn with_slash(path: &str) -> String {
    if path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}

/// Where the host serves.
pub(super) fn urls(address: &str, vars: &Vars) -> Vec<String> {
    let paths = vars.sites.values().map(|site| with_slash(&site.path));
    let host = shown(address);
    paths.chain(["/flask/swagger/".to_owned()]).map(|p| format!("https://{host}{p}")).collect()
}

/// What a client sees of such a host.
pub(super) fn expected(
    address: &str,
    vars: &Vars,
    facts: &Facts,
    certificate: Option<String>,
) -> Expected {
    let mut pages: Vec<_> = vars.sites.values().map(|site| site_page(site, facts)).collect();
    let page = |path: &str, status, holds: Option<&str>| Page {
        path: path.to_owned(),
        statuses: vec![status],
        holds: holds.map(str::to_owned),
        is_listed: false,
    };
    pages.push(page("/flask/api/ping", 200, Some("{\"status\":\"ok\"}")));
    pages.push(page("/flask/api/health", 200, None));
    pages.push(page("/flask/api/count", 401, None));
    pages.push(page("/flask/swagger/", 200, None));
    let declared = |port: &u16| {
        let tcp = Port { number: *port, protocol: Protocol::Tcp };
        vars.firewall.allow.contains(&tcp) || facts.ssh_ports.contains(port)
    };
    let mut closed: Vec<u16> = PRIVATE_PORTS.into_iter().chain([vars.redis.port]).collect();
    closed.sort_unstable();
    closed.dedup();
    closed.retain(|port| !declared(port));
    Expected { address: address.to_owned(), certificate, pages, closed }
}

/// A closed site answers 403 to those who are not on its list, and asks the others who they are.
fn site_page(site: &Site, facts: &Facts) -> Page {
    let listed = facts.ssh_client.map(|us| site.allow.iter().any(|network| network.contains(us)));
    let let_in = if site.users.is_empty() { 200 } else { 401 };
    let statuses = match listed {
        _ if site.allow.is_empty() => vec![let_in],
        Some(true) => vec![let_in],
        Some(false) => vec![403],
        None => vec![let_in, 403],
    };
    Page { path: with_slash(&site.path), statuses, holds: None, is_listed: !site.allow.is_empty() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Sources, load};

    #[test]
    fn an_ipv6_address_has_brackets_in_urls() {
        let sets = ["api.users.a=long-enough", "sites.site2.users.a=long-enough"];
        let sets = sets.map(str::to_owned).to_vec();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.yaml");
        std::fs::write(&path, "all: { hosts: { h: } }").unwrap();
        let inventory = load(&Sources { path: Some(path), sets }).unwrap();
        let (vars, _) = inventory.vars(&inventory.select(&[], None).unwrap()[0]).unwrap();

        let urls = urls("2001:db8::1", &vars);

        assert!(urls.iter().all(|url| url.starts_with("https://[2001:db8::1]/")), "{urls:?}");
    }
}
