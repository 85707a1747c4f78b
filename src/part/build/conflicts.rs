//! Contributions that cannot stand side by side, or that nobody takes: refused with all who offer them and the
//! places in the inventory.

use std::collections::HashMap;
use std::hash::Hash;

use anyhow::Result;

use super::claim::Claim;
use super::contributions::{Contributions, Offer, Route, RouteTarget, Slot};
use crate::failure::Failure;

const CHANGE_ONE: &str = "change one of them in the inventory";

impl Contributions {
    /// Refuses contributions that stand in each other's way.
    pub(crate) fn require_apart(&self) -> Result<(), Failure> {
        self.routes.iter().try_for_each(require_sound)?;
        let called = |route: &Route| route.name.clone();
        refuse_twice(&self.routes, called, |name| format!("two routes are called `{name}`"))?;
        let place = |route: &Route| (route.host.clone(), route.path.clone());
        refuse_twice(&self.routes, place, |(host, path)| match host {
            None => format!("two routes have the path `{path}`"),
            Some(host) => format!("two routes have the path `{path}` of `{host}`"),
        })?;
        self.require_applications_whole()?;
        let port = |port: &u16| *port;
        refuse_twice(&self.ports, port, |port| format!("two parts would listen on port {port}"))?;
        let claim = |claim: &Claim| claim.clone();
        refuse_twice(&self.claims, claim, |claim| {
            format!("two parts would have {}", claim.text())
        })?;
        refuse_twice(
            &self.certificates,
            |_| (),
            |()| "two parts bring the certificate of the web server".to_owned(),
        )
    }

    /// Refuses a part on a port of sshd.
    pub(crate) fn require_apart_from_ssh(&self, ssh_ports: &[u16]) -> Result<(), Failure> {
        let mut taken = self.ports.iter().filter(|offer| ssh_ports.contains(&offer.value));
        let Some(offer) = taken.next() else { return Ok(()) };
        let problem = format!("cannot have port {}: sshd listens there", offer.value);
        Err(Failure::usage(format!("{} {problem}", offer.source()))
            .not_done("nothing was changed on the host")
            .hint("give it a free port in the inventory"))
    }

    /// The first contribution for a slot that is not among `taken`: what it is, and the slot.
    pub(crate) fn untaken(&self, taken: &[Slot]) -> Option<(String, Slot)> {
        let is_missing = |slot: Slot| !taken.contains(&slot);
        let route = self.routes.first().filter(|_| is_missing(Slot::Routes));
        if let Some(offer) = route {
            let what = format!("{} offers the route `{}`", offer.source(), offer.value.path);
            return Some((what, Slot::Routes));
        }
        if let Some(offer) = self.packages.first().filter(|_| is_missing(Slot::Packages)) {
            let what = format!("{} needs the package `{}`", offer.source(), offer.value.name);
            return Some((what, Slot::Packages));
        }
        let certificate = self.certificates.first().filter(|_| is_missing(Slot::Certificates))?;
        Some((format!("{} offers a certificate", certificate.source()), Slot::Certificates))
    }

    /// An application has all that is below its path.
    fn require_applications_whole(&self) -> Result<(), Failure> {
        for outer in &self.routes {
            if !matches!(outer.value.target, RouteTarget::Application(_)) {
                continue;
            }
            let is_below = |inner: &&Offer<Route>| {
                let rest = inner.value.path.strip_prefix(&outer.value.path);
                inner.value.host == outer.value.host && rest.is_some_and(|r| r.starts_with('/'))
            };
            if let Some(inner) = self.routes.iter().find(is_below) {
                let (above, below) = (&outer.value.path, &inner.value.path);
                let problem = format!("`{below}` lies below `{above}`, which is an application's");
                let owners = [outer.source(), inner.source()];
                return Err(between(problem, &owners).hint(CHANGE_ONE));
            }
        }
        Ok(())
    }
}

/// Refuses the second of two offers with one key.
fn refuse_twice<T, K: Hash + Eq>(
    offers: &[Offer<T>],
    key: impl Fn(&T) -> K,
    problem: impl Fn(&K) -> String,
) -> Result<(), Failure> {
    let owned = offers.iter().map(|offer| (key(&offer.value), offer.source()));
    match first_twice(owned) {
        Some((key, owners)) => Err(between(problem(&key), &owners).hint(CHANGE_ONE)),
        None => Ok(()),
    }
}

/// The first key that two have, with whose it is each time.
pub(crate) fn first_twice<K: Hash + Eq>(
    owned: impl Iterator<Item = (K, String)>,
) -> Option<(K, [String; 2])> {
    let mut owners: HashMap<K, String> = HashMap::new();
    for (key, owner) in owned {
        if let Some(first) = owners.remove(&key) {
            return Some((key, [first, owner]));
        }
        owners.insert(key, owner);
    }
    None
}

/// A problem between two things, with whose they are.
pub(crate) fn between(problem: impl Into<String>, owners: &[String; 2]) -> Failure {
    Failure::usage(problem)
        .why(format!("one is of {}", owners.join(", the other one of ")))
        .not_done("nothing was changed")
}

/// Refuses a route that no URL leads to, or whose name cannot be that of a log.
fn require_sound(offer: &Offer<Route>) -> Result<(), Failure> {
    let Route { name, host, path, target, .. } = &offer.value;
    let wrong =
        |problem: String| Failure::usage(problem).why(format!("it is of {}", offer.source()));
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(fits) {
        return Err(wrong(format!("the route {name:?} cannot have that name"))
            .hint("use letters, digits, `_` and `-`"));
    }
    let segments = path.strip_prefix('/').map(|rest| rest.split('/'));
    let is_whole = host.is_some() || !matches!(target, RouteTarget::Application(_));
    let is_root = path == "/" && is_whole;
    let is_plain = segments.is_some_and(|mut segments| {
        is_root || segments.all(|s| !s.is_empty() && s != "." && s != "..")
    });
    // What nginx compares with has its escapes resolved, and never a query.
    if !is_plain || path.contains(|c: char| c.is_control() || "?#%\\".contains(c)) {
        return Err(wrong(format!("`{name}` cannot be served under {path:?}"))
            .hint("write a path such as `/docs`, without a slash at its end"));
    }
    Ok(())
}
