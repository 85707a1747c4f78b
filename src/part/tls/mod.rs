//! The names of the host and the certificate for them.

mod host;
mod vars;

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::build::{Builder, CertificateAt, Contributions, Names};
use super::{PartKind, Parts, Role};
use crate::failure::Failure;
use crate::inventory::Vars;
use crate::resource::{Certificate, Facts, OnChange, Unit};
use crate::spec::{Group, PartSpec, Probe, ProbeKind};

pub use vars::{ServerNames, Tls, TlsMode};

pub(super) const KIND: PartKind = PartKind {
    name: "tls",
    roles: &[Role::Web],
    parts: Parts::One,
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Tls),
    contribute: |_, offered| {
        offered.add_certificate(CertificateAt { certificate: CERTIFICATE.into(), key: KEY.into() });
    },
    describe: |_, _, spec| describe(spec),
    declare,
};

/// Where the certificate of all sites is.
const CERTIFICATE: &str = "/etc/nginx/ssl/homework.crt";
const KEY: &str = "/etc/nginx/ssl/homework.key";

/// The names of the host: those of the inventory, those by which operators have reached it, its own.
/// An operator who comes by another address than the last one takes no name away.
pub(super) fn names(vars: &Vars, facts: &Facts, address: &str) -> Result<Names> {
    let mut names = Vec::new();
    for name in &vars.get::<ServerNames>().0 {
        names.push(normal(name).ok_or_else(|| {
            Failure::usage(format!(
                "`{name}` in `server_names` is neither a host name nor an address"
            ))
            .hint("write names such as `www.example.org`, without scheme, port or path")
        })?);
    }
    // An alias of ssh_config or an odd host name is no reason to stop: it is just not served.
    let mut known_by = facts.known_by.clone();
    known_by.extend(normal(address).filter(|name| !facts.known_by.contains(name)));
    names.extend(known_by.iter().cloned());
    names.extend(normal(&facts.hostname));
    let mut certificate: Vec<String> = Vec::new();
    for name in names {
        if !certificate.contains(&name) {
            certificate.push(name);
        }
    }
    if certificate.is_empty() {
        certificate.push("localhost".to_owned());
    }
    let is_name = |name: &&String| name.parse::<IpAddr>().is_err();
    let mut server: Vec<String> = certificate.iter().filter(is_name).cloned().collect();
    if !server.iter().any(|name| name == "localhost") {
        server.push("localhost".to_owned());
    }
    Ok(Names { certificate, known_by, server })
}

/// A host name in lower case, or an address as it is usually written; `None` for anything else.
pub(super) fn normal(name: &str) -> Option<String> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    (name.len() <= 253 && name.split('.').all(label)).then(|| name.to_ascii_lowercase())
}

#[derive(Serialize)]
struct Renewal<'a> {
    binary: &'a Path,
    days: u16,
    renew_before: u16,
}

/// The least life of a certificate, in days. The host's own renewal begins at 30 and does not work where
/// fewer days are left.
const MIN_DAYS: u16 = 7;

fn describe(spec: &mut PartSpec) {
    spec.probes = vec![Probe {
        name: "certificate".to_owned(),
        group: Group::Certificate,
        kind: ProbeKind::Certificate { path: CERTIFICATE.into(), min_days: MIN_DAYS },
    }];
}

fn declare(offered: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    let (tls, names) = (builder.vars.get::<Tls>(), &offered.names);
    if let Some(folder) = Path::new(KEY).parent() {
        builder.directory(folder, 0o700);
    }
    match tls.mode {
        TlsMode::SelfSigned => {
            builder.add(Certificate {
                certificate: CERTIFICATE.into(),
                key: KEY.into(),
                names: names.certificate.clone(),
                known_by: names.known_by.clone(),
                days: tls.days,
                renew_before: tls.renew_before,
                replaces: None,
            });
            renewal(builder)
        }
    }
}

/// The host renews by itself: nobody may come by for months.
fn renewal(builder: &mut Builder<'_>) -> Result<()> {
    let hwctl = builder.own_hwctl()?;
    let tls = builder.vars.get::<Tls>();
    let renewal = Renewal { binary: &hwctl, days: tls.days, renew_before: tls.renew_before };
    let mut inputs = Vec::new();
    for name in ["hwctl-renew.service", "hwctl-renew.timer"] {
        let path = format!("/etc/systemd/system/{name}");
        inputs.push(builder.file(path, &format!("systemd/{name}"), &renewal)?);
    }
    builder.add(Unit::new("hwctl-renew.timer", inputs, OnChange::Restart));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_addresses_are_names() {
        assert_eq!(normal("WWW.Example.org").as_deref(), Some("www.example.org"));
        assert_eq!(normal("2001:DB8::1").as_deref(), Some("2001:db8::1"));
        for wrong in ["", "a b", "a;b", "a\nb", "-a", "a..b", "*.a", "a_b", "ü", "a{", "~x"] {
            assert_eq!(normal(wrong), None, "{wrong:?}");
        }
    }
}
