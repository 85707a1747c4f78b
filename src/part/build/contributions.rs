//! What parts offer each other. All parts contribute before the first one declares its resources, so that
//! their order in the table does not matter.

use std::net::IpAddr;
use std::path::PathBuf;

use super::claim::Claim;
use crate::part::Network;
use crate::resource::{Id, OnChange};

/// Something that a part offers to others.
#[derive(Clone, Debug)]
pub struct Offer<T> {
    /// The name of the part.
    pub part: String,
    /// Where the inventory asks for it, such as `inventory.yaml:7:12`. None for what is so by default.
    pub place: Option<String>,
    /// What is offered.
    pub value: T,
}

impl<T> Offer<T> {
    /// Who offers it and where that is written.
    pub(super) fn source(&self) -> String {
        match &self.place {
            Some(place) => format!("the part `{}` ({place})", self.part),
            None => format!("the part `{}`", self.part),
        }
    }
}

/// All that the parts of a host offer each other.
#[derive(Debug, Default)]
pub struct Contributions {
    /// The part that is contributing.
    pub(crate) part: String,
    pub(crate) packages: Vec<Offer<Package>>,
    pub(crate) unit_inputs: Vec<Offer<UnitInput>>,
    pub(crate) routes: Vec<Offer<Route>>,
    /// Metrics that applications show.
    pub(crate) metrics: Vec<Offer<Metrics>>,
    /// The port of the loopback on which the web server shows them, where somebody collects them.
    pub(crate) metrics_port: Option<u16>,
    pub(crate) certificates: Vec<Offer<CertificateAt>>,
    /// TCP ports that the parts listen on.
    pub(crate) ports: Vec<Offer<u16>>,
    /// TCP ports that the firewall lets in.
    pub(crate) open_ports: Vec<Offer<OpenTo>>,
    /// What the firewall lets in besides TCP and UDP.
    pub(crate) let_in: Vec<LetIn>,
    /// What each part wants for itself alone.
    pub(crate) claims: Vec<Offer<Claim>>,
    /// The parts that need Docker, in the order in which they are made.
    pub(crate) docker_users: Vec<String>,
    /// What the host is called.
    pub(crate) names: Names,
    /// Whether the host has the database of its applications.
    pub(crate) has_database: bool,
}

/// What can be done with a contribution. One for a slot that no part of the host takes is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Packages are installed.
    Packages,
    /// Routes are served to clients.
    Routes,
    /// Certificates are shown to clients.
    Certificates,
}

impl Contributions {
    /// The name of the part that is contributing.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }

    /// Offers a path that the web server shall serve; `place` is where the inventory asks for it.
    pub fn add_route(&mut self, route: Route, place: Option<String>) {
        self.routes.push(self.offer(route, place));
    }

    /// Offers metrics to whoever collects them. On a host where nobody does, nothing shows them.
    pub fn add_metrics(&mut self, metrics: Metrics, place: Option<String>) {
        self.metrics.push(self.offer(metrics, place));
    }

    /// Asks for a package.
    pub fn add_package(&mut self, package: Package) {
        self.packages.push(self.offer(package, None));
    }

    /// Asks for a unit of systemd to take up a resource that it reads, whichever part the unit is of.
    pub fn add_unit_input(&mut self, input: UnitInput, place: Option<String>) {
        self.unit_inputs.push(self.offer(input, place));
    }

    /// Claims a TCP port of the host; `place` is where the inventory asks for it.
    pub fn add_port(&mut self, port: u16, place: Option<String>) {
        self.ports.push(self.offer(port, place));
    }

    /// Has the firewall let clients in to a TCP port; `place` is where the inventory asks for it.
    pub fn open_port(&mut self, open: OpenTo, place: Option<String>) {
        self.open_ports.push(self.offer(open, place));
    }

    /// Has the firewall let in packets of another protocol than TCP and UDP.
    pub fn let_in(&mut self, let_in: LetIn) {
        self.let_in.push(let_in);
    }

    /// Claims something that no other part may have; `place` is where the inventory asks for it.
    pub fn add_claim(&mut self, claim: Claim, place: Option<String>) {
        self.claims.push(self.offer(claim, place));
    }

    /// Says that the part needs Docker.
    pub fn add_docker_user(&mut self) {
        self.docker_users.push(self.part.clone());
    }

    /// Offers a certificate for the web server.
    pub fn add_certificate(&mut self, certificate: CertificateAt) {
        self.certificates.push(self.offer(certificate, None));
    }

    /// The certificate that the web server shows to clients.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateAt> {
        self.certificates.first().map(|offer| &offer.value)
    }

    /// Has the certificate hold for the names that routes have of their own.
    pub(crate) fn add_names_of_routes(&mut self) {
        let hosts = self.routes.iter().flat_map(|offer| {
            [&offer.value.host, &offer.value.other_host].into_iter().flatten().cloned()
        });
        let new: Vec<_> = hosts.filter(|host| !self.names.certificate.contains(host)).collect();
        self.names.certificate.extend(new);
    }

    fn offer<T>(&self, value: T, place: Option<String>) -> Offer<T> {
        Offer { part: self.part.clone(), place, value }
    }
}

/// A TCP port and who may reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTo {
    /// The port of the host.
    pub port: u16,
    /// The network that it is open to.
    pub from: Network,
}

/// Packets of another protocol than TCP and UDP, and who may send them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetIn {
    /// The number of the protocol.
    pub protocol: u8,
    /// The address that may send them.
    pub from: IpAddr,
}

/// A package of the distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Packages of others that do the same and are left in its place.
    pub alternatives: &'static [&'static str],
}

impl Package {
    /// A package that no other one can stand in for.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), alternatives: &[] }
    }
}

/// A resource that a unit of systemd reads: when it changes, the unit is reloaded or restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitInput {
    /// The unit's name with suffix, such as `chrony.service`.
    pub unit: String,
    /// What it reads.
    pub input: Id,
    /// How the unit takes up a change, if no part declares the unit itself.
    pub on_change: OnChange,
}

/// Something that the web server serves.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name that its logs have, unique on the host.
    pub name: String,
    /// The name of a server of its own, such as `shop.example.com`. None for the host's own names.
    pub host: Option<String>,
    /// A second name, which leads clients to that one.
    pub other_host: Option<String>,
    /// The path, such as `/open`; `/` for all that no other route has.
    pub path: String,
    /// What is behind it.
    pub target: RouteTarget,
    /// Whether the part has to be there before the web server learns of the route.
    pub comes_first: bool,
    /// How the landing page shows it. None where it does not.
    pub card: Option<Card>,
}

impl Route {
    /// A route of the host's own names to a part that may come after the web server.
    #[must_use]
    pub fn new(name: &str, path: &str, target: RouteTarget) -> Self {
        let (name, path) = (name.to_owned(), path.to_owned());
        let card = Some(Card::new(&name, None));
        Self { name, host: None, other_host: None, path, target, comes_first: false, card }
    }

    /// The URL that people open, from the landing page: a path, or that of another name.
    #[must_use]
    pub fn url(&self) -> String {
        let page = self.card.as_ref().and_then(|card| card.page.as_ref()).unwrap_or(&self.path);
        match &self.host {
            Some(host) => format!("https://{host}{page}"),
            None => page.clone(),
        }
    }
}

/// How the landing page shows a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What people call it.
    pub title: String,
    /// What it is for.
    pub description: Option<String>,
    /// The page that people open, where that is not the route's path.
    pub page: Option<String>,
    /// Whether the page itself is shown, in a frame. Its headers have to allow that.
    pub is_framed: bool,
}

impl Card {
    /// A card without a frame, for the route's own path.
    #[must_use]
    pub fn new(title: &str, description: Option<String>) -> Self {
        Self { title: title.to_owned(), description, page: None, is_framed: false }
    }
}

/// What is behind a route.
#[derive(Clone, Debug)]
pub enum RouteTarget {
    /// The files of a folder.
    Files(StaticFiles),
    /// Another URL, which clients are sent on to.
    Redirect(String),
    /// An application, which gets the whole path as the client sent it.
    Application(Upstream),
}

impl RouteTarget {
    /// Whether a login is asked for.
    #[must_use]
    pub fn asks_for_login(&self) -> bool {
        match self {
            Self::Files(files) => files.htpasswd.is_some(),
            Self::Redirect(_) => false,
            Self::Application(upstream) => upstream.htpasswd.is_some(),
        }
    }

    /// Whether only some networks are let in.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        match self {
            Self::Files(files) => !files.allow.is_empty(),
            Self::Redirect(_) => false,
            Self::Application(upstream) => !upstream.allow.is_empty(),
        }
    }
}

/// The files of a folder, as the web server serves them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticFiles {
    /// The folder.
    pub root: PathBuf,
    /// The networks that are let in; all when empty.
    pub allow: Vec<Network>,
    /// The file with the users who may log in, where a login is asked for.
    pub htpasswd: Option<PathBuf>,
    /// Whether a path without a file gets the folder's `index.html`.
    pub falls_back: bool,
    /// Headers of its answers, in the place of the web server's own of these names.
    pub headers: Vec<(String, String)>,
    /// How long clients may keep files other than pages, in nginx's terms. None for what is usual for each type.
    pub cache: Option<String>,
}

/// An application as the web server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where its instances listen, in nginx's terms: `unix:/run/shop/shop.sock` or `127.0.0.1:8000`.
    pub servers: Vec<String>,
    /// The largest body of a request, in KiB.
    pub max_body_kib: u32,
    /// How the web server says what it answers itself, such as 502.
    pub refusals: Refusals,
    /// Paths that take logins, which are limited for each client.
    pub logins: Vec<String>,
    /// Paths that no client gets to see.
    pub hidden: Vec<String>,
    /// Folders whose pages set styles in their elements, which the others may not.
    pub inline_styles: Vec<String>,
    /// How long an answer may take, in seconds.
    pub read_timeout_s: u16,
    /// Whether a connection may become a WebSocket.
    pub is_websocket: bool,
    /// The networks that are let in; all when empty.
    pub allow: Vec<Network>,
    /// The file with the users who may log in, where the web server asks for a login.
    pub htpasswd: Option<PathBuf>,
    /// How it is taken out of service, if it can be. Its part makes the folder where that is noted.
    pub maintenance: Option<Maintenance>,
    /// Whether the application itself says what its pages may load, in a header of its own.
    pub has_own_policy: bool,
}

impl Upstream {
    /// An application without paths of its own kind, whose clients are people.
    #[must_use]
    pub fn at(server: impl Into<String>) -> Self {
        Self {
            servers: vec![server.into()],
            max_body_kib: 1024,
            refusals: Refusals::Page,
            logins: Vec::new(),
            hidden: Vec::new(),
            inline_styles: Vec::new(),
            read_timeout_s: 30,
            is_websocket: false,
            allow: Vec::new(),
            htpasswd: None,
            maintenance: None,
            has_own_policy: false,
        }
    }
}

/// How clients learn that an application is out of service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// The page on the host that they see; the web server's own where there is none.
    pub page: Option<PathBuf>,
}

/// How a refusal is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// As a page, for people.
    Page,
    /// As JSON, for programs.
    Json,
}

/// Metrics that an application shows in Prometheus's text format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The name of the application's route.
    pub name: String,
    /// Where its instances listen, in nginx's terms. Each counts for itself.
    pub servers: Vec<String>,
    /// The path at which each of them shows its metrics.
    pub path: String,
}

impl Metrics {
    /// The path at which the web server shows the metrics of an instance, which are counted from 1.
    #[must_use]
    pub fn location(&self, instance: usize) -> String {
        format!("/{}/{instance}", self.name)
    }
}

/// Where a certificate and its key are on the host.
#[derive(Clone, Debug)]
pub struct CertificateAt {
    /// The certificate with its chain (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

/// What the host is called.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Names and addresses of the certificate; the first is what people know the host by.
    pub certificate: Vec<String>,
    /// Those of them by which operators have reached the host.
    pub known_by: Vec<String>,
    /// The names that the web server answers to. It answers to addresses anyway.
    pub server: Vec<String>,
}
