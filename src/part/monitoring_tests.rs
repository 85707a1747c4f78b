//! What monitoring brings, where it listens, and what is left of it where it is off.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::role_tests::names;
use super::tests::{debian_13, made, text, try_vars_with, vars_with};
use super::*;
use crate::resource::{Container, Resource, Unit};

const ON: &str = "monitoring.enabled=true";
const GRAFANA: &str = "monitoring.grafana={}";

fn with(sets: &[&str]) -> Stack {
    made(&vars_with(sets), &debian_13()).unwrap()
}

fn containers(stack: &Stack) -> impl Iterator<Item = &Container> {
    stack.resources.iter().filter_map(|declared| match &declared.resource {
        Resource::Container(container) => Some(container),
        _ => None,
    })
}

fn units(stack: &Stack) -> impl Iterator<Item = &Unit> {
    stack.resources.iter().filter_map(|declared| match &declared.resource {
        Resource::Unit(unit) => Some(unit),
        _ => None,
    })
}

#[test]
fn a_host_measures_nothing_unless_it_is_asked_to() {
    let off = with(&[]);

    assert!(!names(&off).iter().any(|name| name.ends_with("exporter")), "{:?}", names(&off));
    let site = text(&off, "/etc/nginx/sites-available/homework");
    assert!(!site.contains("9145") && !site.contains("stub_status"), "{site}");
    assert_eq!(off.resources, with(&["monitoring.interval=30"]).resources);
}

#[test]
fn the_parts_follow_the_roles() {
    let monitoring = |sets: &[&str]| {
        let sets: Vec<_> = [ON, GRAFANA].iter().chain(sets).copied().collect();
        let made = with(&sets);
        let kinds = ["exporter", "prometheus", "grafana"];
        let own = names(&made).into_iter().filter(|name| kinds.iter().any(|k| name.ends_with(k)));
        own.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };

    let of_web = "node-exporter nginx-exporter page-exporter";
    assert_eq!(monitoring(&[]), format!("{of_web} redis-exporter prometheus grafana"));
    assert_eq!(monitoring(&["redis=null"]), format!("{of_web} prometheus grafana"));
    assert_eq!(monitoring(&["roles=[redis]"]), "node-exporter redis-exporter prometheus");
}

#[test]
fn all_of_it_listens_on_the_loopback_alone() {
    let made = with(&[ON, GRAFANA, "monitoring.source=package"]);

    for unit in units(&made).filter(|unit| unit.name.starts_with("prometheus")) {
        let drop_in = text(&made, &format!("/etc/systemd/system/{}.d/hwctl.conf", unit.name));
        assert!(drop_in.contains("--web.listen-address=127.0.0.1:"), "{drop_in}");
        assert!(drop_in.contains("\nExecStart=\nExecStart=/usr/bin/"), "{drop_in}");
    }
    let settings = text(&made, "/etc/hwctl/grafana/grafana.ini");
    assert!(settings.contains("http_addr = 127.0.0.1\n"), "{settings}");
    let site = text(&made, "/etc/nginx/sites-available/homework");
    assert!(site.contains("listen 127.0.0.1:9145;"), "{site}");
    let in_container = with(&[ON, GRAFANA]);
    let own = ["prometheus", "grafana"];
    for container in containers(&in_container).filter(|found| own.contains(&&*found.name)) {
        assert_eq!((container.networks.join(" "), container.ports.len()), ("host".to_owned(), 0));
        assert!(container.read_only_root && container.capabilities.is_empty(), "{container:?}");
    }
    let prometheus = containers(&in_container).find(|found| found.name == "prometheus").unwrap();
    assert!(
        prometheus.command.contains(&"--web.listen-address=127.0.0.1:9090".to_owned()),
        "{prometheus:?}"
    );
    let closed: BTreeSet<u16> =
        in_container.parts.iter().flat_map(|part| part.private_ports.clone()).collect();
    for port in [3000, 9090, 9100, 9113, 9115, 9121, 9145] {
        assert!(closed.contains(&port), "{port}: {closed:?}");
    }
}

#[test]
fn no_command_line_holds_a_secret() {
    let made = with(&[ON, GRAFANA, "monitoring.grafana.password=planted-grafana"]);

    let shown: Vec<_> = made.render().into_iter().filter_map(|file| file.text).collect();
    assert!(!shown.concat().contains("planted"));
    assert!(!format!("{made:?}").contains("planted"));
    let drop_in = "/etc/systemd/system/prometheus-redis-exporter.service.d/hwctl.conf";
    let drop_in = text(&made, drop_in);
    assert!(drop_in.contains("LoadCredential=redis:/etc/hwctl/monitoring/redis.json"), "{drop_in}");
    let credential = text(&made, "/etc/hwctl/monitoring/redis.json");
    assert_eq!(credential, "{\"redis://127.0.0.1:6379\": \"<secret redis-password>\"}\n");
}

#[test]
fn an_app_shows_the_metrics_of_each_instance_to_the_host_alone() {
    let app = "apps.shop={ path: /shop, image: \"shop:1\", instances: 2, metrics: /shop/metrics }";
    let made = with(&[ON, app]);

    let shown = text(&made, "/etc/nginx/metrics/shop.conf");
    for number in 1..=2 {
        assert!(shown.contains(&format!("location = /shop/{number} {{\n")), "{shown}");
    }
    assert!(shown.contains("proxy_pass http://127.0.0.1:2"), "{shown}");
    assert!(shown.contains("/shop/metrics;"), "{shown}");
    let site = text(&made, "/etc/nginx/sites-available/homework");
    assert!(
        site.contains("location = /shop/metrics {\n        error_page 404 @refused;"),
        "{site}"
    );
    let targets = text(&made, "/etc/hwctl/prometheus/targets/shop.json");
    let targets: Json = serde_json::from_str(&targets).unwrap();
    assert_eq!(targets[1]["labels"]["__metrics_path__"], "/shop/2");
    assert_eq!(targets[1]["labels"]["job"], "shop");
    // They are of the app's part, so they go and come back with it.
    let of_shop = made.resources.iter().filter(|declared| declared.tag == "shop");
    let ids: Vec<_> = of_shop.map(|declared| declared.resource.id().to_string()).collect();
    assert!(ids.contains(&"file /etc/hwctl/prometheus/targets/shop.json".to_owned()), "{ids:?}");
    let api = text(&made, "/etc/nginx/metrics/flask.conf");
    assert!(
        api.contains("proxy_pass http://unix:/run/gunicorn/flask.sock:/flask/metrics;"),
        "{api}"
    );
}

#[test]
fn metrics_elsewhere_take_no_path_from_others() {
    let made = with(&["apps.shop={ path: /shop, image: \"shop:1\", metrics: /metrics }"]);

    let site = text(&made, "/etc/nginx/sites-available/homework");
    assert!(!site.contains("location = /metrics {"), "{site}");
}

#[test]
fn ports_that_others_have_are_refused() {
    let taken = |set: &str| {
        let made = made(&vars_with(&[ON, GRAFANA, set]), &debian_13());
        super::tests::message(made)
    };

    assert!(taken("monitoring.port=6379").contains("6379"));
    assert!(taken("redis.port=9121").contains("9121"));
    let low = try_vars_with(&["monitoring.port=443"]).unwrap_err().what;
    assert!(low.contains("`monitoring.port` takes a whole number from 1024"), "{low}");
}

#[test]
fn configuration_rules_and_dashboards() {
    let made = with(&[ON, GRAFANA]);

    for path in [
        "/etc/hwctl/prometheus/prometheus.yml",
        "/etc/hwctl/prometheus/alerts.yml",
        "/etc/hwctl/prometheus/pages/pages.json",
        "/etc/hwctl/grafana/grafana.ini",
        "/etc/hwctl/grafana/provisioning/datasources/hwctl.yaml",
        "/etc/systemd/system/prometheus-node-exporter.service.d/hwctl.conf",
    ] {
        insta::assert_snapshot!(path.trim_start_matches('/').replace('/', "_"), text(&made, path));
    }
    let dashboards = made
        .render()
        .into_iter()
        .filter(|file| file.path.starts_with("/etc/hwctl/grafana/dashboards"));
    let mut uids = BTreeSet::new();
    for file in dashboards {
        let json: Json = serde_json::from_str(&file.text.unwrap()).unwrap();
        assert!(uids.insert(json["uid"].as_str().unwrap().to_owned()), "{uids:?}");
        for panel in json["panels"].as_array().unwrap() {
            let place = &panel["gridPos"];
            let right = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
            assert!(right <= 24, "{} leaves the grid", panel["title"]);
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
        }
    }
    assert_eq!(uids.len(), 5);
}
