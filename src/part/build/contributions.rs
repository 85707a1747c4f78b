//! What parts offer each other. All parts contribute before the first one declares its resources, so that
//! their order in the table does not matter.

use std::path::PathBuf;

use crate::inventory::Network;

/// All that the parts of a host offer each other.
#[derive(Debug, Default)]
pub struct Contributions {
    /// The part that is contributing.
    pub(crate) part: String,
    /// The packages, each with the part that needs it.
    pub(crate) packages: Vec<(String, Package)>,
    /// The paths that the web server serves, with the part that each is of.
    pub(crate) routes: Vec<(String, Route)>,
    /// The certificate that the web server shows to clients.
    pub(crate) certificate: Option<CertificateAt>,
    /// What the host is called.
    pub(crate) names: Names,
    /// Whether the host has the database of its applications.
    pub(crate) has_database: bool,
}

impl Contributions {
    /// The name of the part that is contributing.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }

    /// Offers a path that the web server shall serve.
    pub fn add_route(&mut self, route: Route) {
        self.routes.push((self.part.clone(), route));
    }

    /// Asks for a package.
    pub fn add_package(&mut self, package: Package) {
        self.packages.push((self.part.clone(), package));
    }
}

/// A package of the distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Packages of others that do the same and are left in its place.
    pub alternatives: &'static [&'static str],
}

/// Something that the web server serves.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name that its logs have, unique on the host.
    pub name: String,
    /// The path, such as `/open`; `/` for all that no other route has.
    pub path: String,
    /// What is behind it.
    pub target: RouteTarget,
}

/// What is behind a route.
#[derive(Clone, Debug)]
pub enum RouteTarget {
    /// The files of a folder.
    Files {
        /// The folder.
        root: PathBuf,
        /// The networks that are let in; all when empty.
        allow: Vec<Network>,
        /// The file with the users who may log in, where a login is asked for.
        htpasswd: Option<PathBuf>,
    },
    /// An application.
    Application,
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
