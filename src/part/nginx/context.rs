//! What the template of the site `homework` is rendered with.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::behind::Behind;
use super::{applications, upstream_file};
use crate::engine::protocol::MAINTENANCE_FOLDER;
use crate::part::Network;
use crate::part::build::{
    Contributions, Maintenance, Refusals, Route, RouteTarget, StaticFiles, Upstream,
};

#[derive(Default, Serialize)]
pub(super) struct Homework<'a> {
    pub(super) ipv6: bool,
    pub(super) http2_directive: bool,
    /// With a space before it, as it stands in `listen`.
    pub(super) http2_option: &'static str,
    pub(super) certificate: &'a str,
    pub(super) key: &'a str,
    /// How balancers reach the host, where it is behind some.
    pub(super) behind: Option<Behind>,
    pub(super) server_names: &'a [String],
    /// The port of the loopback for metrics, where somebody collects them.
    pub(super) metrics_port: Option<u16>,
    /// Regular expressions of the addresses that the host is known by.
    pub(super) address_patterns: Vec<String>,
    /// The style of nginx's own pages, and its hash for the policy of what pages may load.
    pub(super) style: &'a str,
    pub(super) style_hash: String,
    /// Whether an application speaks WebSocket.
    pub(super) websockets: bool,
    /// Whether a route has all paths that no other has.
    pub(super) has_root: bool,
    /// The applications whose upstreams are here, and the files of the others.
    pub(super) inline: Vec<Application<'a>>,
    pub(super) upstreams: Vec<String>,
    pub(super) apps: Vec<Application<'a>>,
    pub(super) sites: Vec<Location<'a>>,
    /// Routes that have a name of their own.
    pub(super) app_hosts: Vec<Application<'a>>,
    pub(super) site_hosts: Vec<Location<'a>>,
}

/// An application as nginx leads to it.
#[derive(Serialize)]
pub(super) struct Application<'a> {
    name: &'a str,
    host: Option<&'a str>,
    /// A name that leads clients to that one.
    other_host: Option<&'a str>,
    path: &'a str,
    path_with_slash: String,
    /// Regular expressions that match the path, and folders with styles in their pages.
    pattern: String,
    style_patterns: Vec<String>,
    servers: &'a [String],
    max_body_kib: u32,
    read_timeout_s: u16,
    is_websocket: bool,
    has_own_policy: bool,
    allow: Vec<&'a str>,
    htpasswd: Option<String>,
    maintenance: Option<Closable<'a>>,
    logins: &'a [String],
    hidden: &'a [String],
    /// Whether what nginx refuses itself is said in JSON, and the location that says it.
    refuses_in_json: bool,
    refusal: String,
    access_log: String,
    error_log: String,
}

/// How an application is taken out of service.
#[derive(Serialize)]
struct Closable<'a> {
    /// The file that is there while it is.
    flag: String,
    /// The page that clients see then; nginx's own where there is none.
    page: Option<&'a str>,
}

/// A site as nginx serves it.
#[derive(Serialize)]
pub(super) struct Location<'a> {
    name: &'a str,
    /// Tells variables of this site from those of others, whose names may have letters that no variable has.
    number: usize,
    host: Option<&'a str>,
    path: &'a str,
    path_with_slash: String,
    root: &'a str,
    root_with_slash: String,
    access_log: String,
    error_log: String,
    allow: Vec<&'a str>,
    htpasswd: Option<String>,
    redirect: Option<Redirect<'a>>,
    /// The path that stands for all without a file.
    fallback: Option<String>,
    headers: &'a [(String, String)],
    /// The names of these headers in small letters.
    own_headers: Vec<String>,
    cache: Option<&'a str>,
}

/// Where a site sends its clients on to.
#[derive(Serialize)]
pub(super) struct Redirect<'a> {
    to: &'a str,
    /// A regular expression whose group `rest` is what comes after the site's path. None where the URL takes no more.
    pattern: Option<String>,
}

impl<'a> Homework<'a> {
    /// What follows from the routes and names of the host.
    pub(super) fn of(offered: &'a Contributions, style: &'a str) -> Result<Self> {
        let names = &offered.names;
        let addresses = names.certificate.iter().filter(|name| name.parse::<IpAddr>().is_ok());
        let apps =
            applications(offered).map(|(offer, upstream)| application(&offer.value, upstream));
        let (switched, inline): (Vec<_>, Vec<_>) =
            applications(offered).partition(|(offer, _)| offer.value.comes_first);
        let inline = inline.into_iter();
        let (app_hosts, apps): (Vec<_>, Vec<_>) = apps.partition(|app| app.host.is_some());
        let routes = offered.routes.iter().enumerate();
        let sites = routes.filter_map(|(number, offer)| location(number, &offer.value).transpose());
        let sites = sites.collect::<Result<Vec<_>>>()?.into_iter();
        let (site_hosts, sites): (Vec<_>, Vec<_>) = sites.partition(|site| site.host.is_some());
        Ok(Self {
            server_names: &names.server,
            address_patterns: addresses.map(|address| address.replace('.', r"\.")).collect(),
            style,
            style_hash: STANDARD.encode(Sha256::digest(style)),
            websockets: apps.iter().chain(&app_hosts).any(|app| app.is_websocket),
            has_root: sites.iter().any(|site| site.path == "/"),
            inline: inline.map(|(offer, upstream)| application(&offer.value, upstream)).collect(),
            upstreams: switched.iter().map(|(offer, _)| upstream_file(&offer.value)).collect(),
            apps,
            sites,
            app_hosts,
            site_hosts,
            ..Self::default()
        })
    }
}

pub(super) fn application<'a>(route: &'a Route, upstream: &'a Upstream) -> Application<'a> {
    let Route { name, host, other_host, path, .. } = route;
    let refuses_in_json = upstream.refusals == Refusals::Json;
    Application {
        name,
        host: host.as_deref(),
        other_host: other_host.as_deref(),
        path,
        path_with_slash: format!("{path}/"),
        pattern: pattern(path),
        style_patterns: upstream.inline_styles.iter().map(|path| pattern(path)).collect(),
        servers: &upstream.servers,
        max_body_kib: upstream.max_body_kib,
        read_timeout_s: upstream.read_timeout_s,
        is_websocket: upstream.is_websocket,
        has_own_policy: upstream.has_own_policy,
        allow: upstream.allow.iter().map(Network::as_str).collect(),
        htpasswd: upstream.htpasswd.as_ref().map(|path| path.display().to_string()),
        maintenance: upstream.maintenance.as_ref().map(|Maintenance { page }| Closable {
            flag: format!("{MAINTENANCE_FOLDER}/{name}"),
            page: page.as_ref().and_then(|page| page.to_str()),
        }),
        logins: &upstream.logins,
        hidden: &upstream.hidden,
        refuses_in_json,
        refusal: if refuses_in_json { format!("@{name}") } else { "@refused".to_owned() },
        access_log: access_log(name),
        error_log: error_log(name),
    }
}

fn access_log(name: &str) -> String {
    format!("/var/log/nginx/{name}_access.log")
}

fn error_log(name: &str) -> String {
    format!("/var/log/nginx/{name}_error.log")
}

/// A regular expression, for a place between double quotes, that matches the path itself.
fn pattern(path: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/_-".contains(c);
    let escaped = |c: char| if is_plain(c) { c.to_string() } else { format!("\\{c}") };
    path.chars().map(escaped).collect()
}

/// The site behind a route, if there is one.
fn location(number: usize, route: &Route) -> Result<Option<Location<'_>>> {
    let Route { name, host, path, target, .. } = route;
    let site = Location {
        name,
        number,
        host: host.as_deref(),
        path,
        path_with_slash: format!("{}/", path.trim_end_matches('/')),
        root: "",
        root_with_slash: String::new(),
        access_log: access_log(name),
        error_log: error_log(name),
        allow: Vec::new(),
        htpasswd: None,
        redirect: None,
        fallback: None,
        headers: &[],
        own_headers: Vec::new(),
        cache: None,
    };
    let files = match target {
        RouteTarget::Application(_) => return Ok(None),
        RouteTarget::Redirect(to) => {
            return Ok(Some(Location { redirect: Some(redirect(to, path)), ..site }));
        }
        RouteTarget::Files(files) => files,
    };
    let StaticFiles { root, allow, htpasswd, falls_back, headers, cache } = files;
    let root = root.to_str().with_context(|| format!("the root of site `{name}`"))?;
    let root = root.trim_end_matches('/');
    Ok(Some(Location {
        root,
        root_with_slash: format!("{root}/"),
        allow: allow.iter().map(Network::as_str).collect(),
        htpasswd: htpasswd.as_ref().map(|path| path.display().to_string()),
        fallback: falls_back.then(|| format!("{}index.html", site.path_with_slash)),
        headers,
        own_headers: headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect(),
        cache: cache.as_deref(),
        ..site
    }))
}

/// What comes after the path of the site is kept, unless the URL has a query or a fragment of its own.
fn redirect<'a>(to: &'a str, path: &str) -> Redirect<'a> {
    let takes_more = !to.contains(['?', '#']);
    let above = pattern(path.trim_end_matches('/'));
    // Exactly one slash is between both. Without any, the rest could become a part of the name.
    let pattern = takes_more.then(|| match to.ends_with('/') {
        true => format!("^{above}(?:/|(?=\\?))(?<rest>[!-~]*)$"),
        false => format!("^{above}(?<rest>[/?][!-~]*)$"),
    });
    Redirect { to, pattern }
}
