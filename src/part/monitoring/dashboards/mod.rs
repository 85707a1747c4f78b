//! The dashboards, made of tables of panels. What Grafana needs besides is the same for all of them.

mod api;
mod fleet;
mod json;
mod machine;
mod redis;
mod web;

/// A dashboard.
pub(super) struct Dashboard {
    /// Names its file, and is its address in Grafana.
    pub(super) name: &'static str,
    title: &'static str,
    panels: &'static [Panel],
}

/// A panel. It asks for the series of the instances that are chosen at the top.
struct Panel {
    title: &'static str,
    kind: Kind,
    unit: Unit,
    /// Of the 24 columns that Grafana has.
    width: u32,
    queries: &'static [Query],
    /// From which values on it is yellow, and red.
    limits: Option<[f64; 2]>,
    /// The dashboard that shows more.
    more: Option<&'static str>,
}

/// A query with the name of its series.
struct Query(&'static str, &'static str);

/// How a panel shows its series.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// The last value, large.
    Number,
    /// All values over time.
    Lines,
    /// The last value of each series as a bar, up to 1.
    Bars,
}

/// Grafana's names of units.
#[derive(Clone, Copy)]
enum Unit {
    Plain,
    /// From 0 to 1.
    Share,
    Seconds,
    Days,
    Bytes,
    BytesPerSecond,
    PerSecond,
    /// 1 is up, and 0 is down.
    IsUp,
}

/// What most panels are.
const PANEL: Panel = Panel {
    title: "",
    kind: Kind::Lines,
    unit: Unit::Plain,
    width: 12,
    queries: &[],
    limits: None,
    more: None,
};

/// All dashboards, the fleet's first.
pub(super) fn all() -> [&'static Dashboard; 5] {
    [&fleet::FLEET, &machine::HOST, &web::NGINX_AND_SITES, &api::API, &redis::REDIS]
}
