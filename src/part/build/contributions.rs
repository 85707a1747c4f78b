//! What parts offer each other. All parts contribute before the first one declares its resources, so that
//! their order in the table does not matter.

use std::path::PathBuf;

use crate::inventory::Network;

/// All that the parts of a host offer each other.
#[derive(Debug, Default)]
pub(crate) struct Contributions {
    /// The packages, each with the part that needs it.
    pub(crate) packages: Vec<(&'static str, Package)>,
    /// The paths that the web server serves, with the part that each is of.
    pub(crate) routes: Vec<(&'static str, Route)>,
    /// The certificate that the web server shows to clients.
    pub(crate) certificate: Option<CertificateAt>,
    /// What the host is called.
    pub(crate) names: Names,
    /// Whether the host has the database of its applications.
    pub(crate) has_database: bool,
}

/// A package of the distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: &'static str,
    /// Packages of others that do the same and are left in its place.
    pub(crate) alternatives: &'static [&'static str],
}

/// Something that the web server serves.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The name that its logs have, unique on the host.
    pub(crate) name: String,
    /// The path, such as `/open`; `/` for all that no other route has.
    pub(crate) path: String,
    /// What is behind it.
    pub(crate) target: RouteTarget,
}

/// What is behind a route.
#[derive(Clone, Debug)]
pub(crate) enum RouteTarget {
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
pub(crate) struct CertificateAt {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What the host is called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Names and addresses of the certificate; the first is what people know the host by.
    pub(crate) certificate: Vec<String>,
    /// Those of them by which operators have reached the host.
    pub(crate) known_by: Vec<String>,
    /// The names that the web server answers to. It answers to addresses anyway.
    pub(crate) server: Vec<String>,
}
