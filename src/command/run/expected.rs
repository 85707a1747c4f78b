//! Where a provisioned host serves, and what a client should see of it.

use crate::client::{Expected, Pins, url, url_host};
use crate::command::fleet::hosts::Work;
use crate::inventory::Vars;
use crate::part::{Api, Apps, Monitoring, Protocol, Sites, open_ports};
use crate::resource::{Exposure, Facts};
use crate::spec::{PartSpec, Pin, endpoints_of};

/// Ports that services of this and other stacks listen on: none of them may answer from outside
/// unless it is declared.
const PRIVATE_PORTS: [u16; 16] =
    [21, 25, 111, 2375, 2376, 3000, 3306, 5000, 5432, 6379, 8000, 8080, 8443, 9090, 9100, 11211];

/// Where the host serves: its sites, the API's description and the apps.
pub(in crate::command) fn urls(address: &str, work: &Work) -> Vec<String> {
    let parts = work.parts();
    let endpoints = endpoints_of(&parts);
    // What is served behind a balancer, the inventory says of other hosts.
    let behind = endpoints.iter().find(|endpoint| endpoint.pin == Pin::Behind);
    match (endpoints.is_empty(), behind) {
        (true, _) => Vec::new(),
        (false, Some(endpoint)) => vec![url(endpoint, &url_host(address), "/")],
        (false, None) => urls_of(address, &work.vars),
    }
}

fn urls_of(address: &str, vars: &Vars) -> Vec<String> {
    let host = url_host(address);
    let sites = vars.get::<Sites>().0.values().map(|site| {
        let name = site.host.as_ref().unwrap_or(&host);
        format!("https://{name}{}", site.url_path())
    });
    let api = (!vars.is_taken_away::<Api>()).then(|| format!("https://{host}/flask/swagger/"));
    let own = sites.chain(api);
    let apps = vars.get::<Apps>().0.values().map(|app| match (&app.host, &app.path) {
        (Some(name), _) => format!("https://{name}/"),
        (None, path) => format!("https://{host}{}/", path.as_deref().unwrap_or_default()),
    });
    let monitoring = vars.get::<Monitoring>();
    let is_shown = monitoring.enabled && monitoring.grafana.is_some();
    let grafana = is_shown.then(|| format!("https://{host}/grafana/"));
    own.chain(apps).chain(grafana).collect()
}

/// What a client sees of such a host.
pub(in crate::command) fn expected(
    address: &str,
    work: &Work,
    facts: &Facts,
    exposure: &Exposure,
    pins: Option<Pins>,
) -> Expected {
    let parts = work.parts_on(facts);
    let closed = closed(&parts, &work.vars, facts, exposure);
    Expected { pins, closed, ..asked(address, &parts) }
}

/// What a client should see of parts, whatever their certificates, and no matter which ports are closed.
pub(in crate::command) fn asked(address: &str, parts: &[PartSpec]) -> Expected {
    Expected {
        address: address.to_owned(),
        endpoints: endpoints_of(parts),
        pins: None,
        questions: parts.iter().flat_map(|part| part.questions.clone()).collect(),
        closed: Vec::new(),
    }
}

/// The ports that must not answer: not those that the inventory or others open in ufw, and also those that
/// containers publish past it.
fn closed(parts: &[PartSpec], vars: &Vars, facts: &Facts, exposure: &Exposure) -> Vec<u16> {
    let open = open_ports(vars);
    let is_declared = |port: &u16| {
        let mut open = open.iter().map(|open| open.port);
        open.any(|open| open.protocol == Protocol::Tcp && open.number == *port)
            || parts.iter().any(|part| part.open_ports.contains(port))
            || facts.ssh_ports.contains(port)
    };
    let others = PRIVATE_PORTS.iter().chain(&exposure.published);
    let others = others.filter(|port| !exposure.is_open_by_others(**port));
    let own = parts.iter().flat_map(|part| &part.private_ports);
    let mut closed: Vec<u16> = others.chain(own).copied().collect();
    closed.sort_unstable();
    closed.dedup();
    closed.retain(|port| !is_declared(port));
    closed
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inventory::{Sources, load};
    use crate::part::{Fleet, HostView, Kinds};
    use crate::resource::Opening;

    fn vars(sets: &[&str]) -> Vars {
        let required = ["api.users.a=long-enough", "sites.site2.users.a=long-enough"];
        let sets = required.iter().chain(sets).map(|set| (*set).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.yaml");
        std::fs::write(&path, "all: { hosts: { h: } }").unwrap();
        let inventory = load(&Sources::at(&path, sets)).unwrap();
        Kinds::builtin().vars(&inventory, &inventory.select(&[], None).unwrap()[0]).unwrap().0
    }

    #[test]
    fn an_ipv6_address_has_brackets_in_urls() {
        let urls = urls_of("2001:db8::1", &vars(&[]));

        assert!(urls.iter().all(|url| url.starts_with("https://[2001:db8::1]/")), "{urls:?}");
    }

    #[test]
    fn what_others_open_may_answer_and_what_containers_publish_may_not() {
        let vars = vars(&["redis.port=7000", "firewall.allow=[443/tcp, 9090/tcp]"]);
        let facts = Facts { ssh_ports: vec![22], ..Facts::unknown() };
        let opening = |first, last, is_own| Opening { first, last, is_own };
        let open = vec![opening(8080, 8090, false), opening(5432, 5432, true)];
        let exposure = Exposure { is_filtered: true, open, published: vec![8085, 9443, 443] };

        let fleet = Fleet::default();
        let folder = Path::new("/nonexistent");
        let view = HostView { vars: &vars, facts: &facts, fleet: &fleet, entry: None, folder };
        let parts = Kinds::builtin().parts(&view);

        let closed = closed(&parts, &vars, &facts, &exposure);

        for port in [5432, 7000, 9443] {
            assert!(closed.contains(&port), "{port}: {closed:?}");
        }
        for port in [22, 443, 8080, 8085, 9090] {
            assert!(!closed.contains(&port), "{port}: {closed:?}");
        }
        let unfiltered = Exposure { is_filtered: false, ..exposure };
        assert_eq!(super::closed(&parts, &vars, &facts, &unfiltered), [7000]);
    }
}
