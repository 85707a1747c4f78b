//! What Prometheus looks at besides the exporters: the applications, and the pages that everybody gets. It reads these
//! files while it runs, so a new version of an app restarts nothing.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::prometheus::FOLDER;
use super::{GATEWAY_PORT, instance};
use crate::part::build::{Builder, Contributions, Route, RouteTarget};
use crate::resource::File;

/// An entry of a file for `file_sd_configs`.
#[derive(Serialize)]
struct Target {
    targets: [String; 1],
    labels: BTreeMap<&'static str, String>,
}

impl Target {
    fn new<const N: usize>(address: String, labels: [(&'static str, &str); N]) -> Self {
        let labels = labels.map(|(name, value)| (name, value.to_owned()));
        Self { targets: [address], labels: labels.into() }
    }
}

/// Declares a file for each application that shows metrics. Each is of the application's part, so that the way back of a
/// deploy takes its targets back, too.
pub(super) fn declare(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    builder.directory(format!("{FOLDER}/targets"), 0o755);
    let own = builder.part.clone();
    for offer in &offered.metrics {
        let shown = &offer.value;
        let targets = (1..=shown.servers.len()).map(|number| {
            let (path, replica) = (shown.location(number), number.to_string());
            Target::new(
                format!("127.0.0.1:{GATEWAY_PORT}"),
                [
                    ("__metrics_path__", &path),
                    ("instance", instance(builder)),
                    ("job", &shown.name),
                    ("replica", &replica),
                ],
            )
        });
        let targets: Vec<_> = targets.collect();
        builder.part.clone_from(&offer.part);
        file(builder, &format!("targets/{}.json", shown.name), &targets)?;
        builder.part.clone_from(&own);
    }
    Ok(())
}

/// Declares the pages, where the host has a web server.
pub(super) fn declare_pages(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    builder.directory(format!("{FOLDER}/pages"), 0o755);
    let routes = offered.routes.iter().map(|offer| &offer.value);
    let pages = routes.filter_map(|route| Some((route, page(route)?)));
    let target = |(route, page): (&Route, String)| {
        let url = format!("https://127.0.0.1{page}");
        Target::new(url, [("instance", instance(builder)), ("page", &page), ("site", &route.name)])
    };
    let targets: Vec<_> = pages.map(target).collect();
    file(builder, "pages/pages.json", &targets)
}

/// The page of a route that the host itself gets: one of its own names, for which no list of addresses counts.
fn page(route: &Route) -> Option<String> {
    if route.host.is_some() || route.target.is_limited() {
        return None;
    }
    let page = route.card.as_ref().and_then(|card| card.page.clone());
    let path = route.path.trim_end_matches('/');
    match route.target {
        RouteTarget::Redirect(_) => Some(route.path.clone()),
        RouteTarget::Files(_) | RouteTarget::Application(_) => {
            Some(page.unwrap_or_else(|| format!("{path}/")))
        }
    }
}

fn file(builder: &mut Builder<'_>, name: &str, targets: &[Target]) -> Result<()> {
    let text = serde_json::to_string_pretty(targets)? + "\n";
    builder.add(File::text(format!("{FOLDER}/{name}"), text));
    Ok(())
}
