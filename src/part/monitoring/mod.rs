//! What a host measures of itself: exporters, the Prometheus that reads them, and Grafana, which shows it.
//!
//! Each of them is a part of its own. All of them listen on the loopback alone, save for the gateway of a host that has a
//! monitor.

mod authority;
mod dashboards;
mod exporters;
mod fleet;
mod gateway;
mod grafana;
mod host;
mod prometheus;
mod targets;
mod vars;

use anyhow::Result;

use super::build::{Builder, Contributions, HostView};
use super::{PartKind, Parts};
use crate::spec::{Group, PartSpec, Probe, ProbeKind};

pub(in crate::part) use fleet::measure;
pub use grafana::GRAFANA_PASSWORD;
pub use vars::{Grafana, Monitoring, Source};

/// Where the web server shows its own metrics and those of the applications, on the loopback. A Unix socket would be in the
/// way of a second nginx, which tries a new configuration, and one that is killed leaves it behind and does not start again.
const GATEWAY_PORT: u16 = 9145;
/// The files of all parts of this kind that are not Prometheus's or Grafana's.
const FOLDER: &str = "/etc/hwctl/monitoring";

pub(super) const KIND: PartKind = PartKind {
    name: "monitoring",
    roles: &[],
    parts: Parts::Named(names),
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Monitoring),
    contribute,
    describe,
    declare,
};

/// The parts of a host, in the order in which they are made.
fn names(view: &HostView<'_>) -> Vec<String> {
    let monitoring = view.vars.get::<Monitoring>();
    if !monitoring.enabled {
        return Vec::new();
    }
    let exporters = exporters::on(view.roles(), view.vars).map(|exporter| exporter.part);
    let shown = monitoring.grafana.as_ref().map(|_| grafana::PART);
    let shown = shown.filter(|_| exporters::has_web(view.roles()));
    let gateway = (!gateway::monitors(view).is_empty()).then_some(gateway::PART);
    exporters.chain([prometheus::PART]).chain(gateway).chain(shown).map(str::to_owned).collect()
}

fn contribute(view: &HostView<'_>, offered: &mut Contributions) {
    match offered.part() {
        prometheus::PART => prometheus::contribute(view, offered),
        gateway::PART => gateway::contribute(view, offered),
        grafana::PART => grafana::contribute(view, offered),
        name => exporters::contribute(exporters::of(name), view, offered),
    }
}

fn describe(view: &HostView<'_>, offered: &Contributions, spec: &mut PartSpec) {
    match spec.name.as_str() {
        prometheus::PART => prometheus::describe(view, offered, spec),
        gateway::PART => gateway::describe(view, spec),
        grafana::PART => grafana::describe(view, offered, spec),
        name => exporters::describe(exporters::of(name), spec),
    }
}

fn declare(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    match builder.part() {
        prometheus::PART => prometheus::declare(offered, builder),
        gateway::PART => gateway::declare(builder),
        grafana::PART => grafana::declare(offered, builder),
        name => exporters::declare(exporters::of(name), builder),
    }
}

/// What the driver looks at under this name.
fn look(name: &str) -> Probe {
    Probe { name: name.to_owned(), group: Group::Service, kind: ProbeKind::Driver }
}

/// What the host is called in all that is measured of it.
fn instance<'a>(builder: &Builder<'a>) -> &'a str {
    builder.entry.map_or(builder.context.address, |entry| &entry.name)
}
