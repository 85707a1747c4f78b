//! The certificates that hwctl made on this host: what they say, and what makes new ones.

use std::collections::HashSet;

use anyhow::{Result, anyhow};

use crate::engine::plan::goal::with_users;
use crate::engine::record::manifest::Manifest;
use crate::resource::{
    Advise, Certificate, CertificateInfo, Declared, Host, Resource, certificate_info,
};

/// The certificates as they were declared last, each with its part. An error where there are none.
pub(in crate::engine) fn declared(manifest: &Manifest) -> Result<Vec<(String, Certificate)>> {
    let known = manifest.resources();
    let found: Vec<_> = known
        .filter_map(|(tag, resource)| match resource {
            Resource::Certificate(certificate) => Some((tag.to_owned(), certificate.clone())),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(anyhow!("hwctl has made no certificate on this host"))
            .hint("`hwctl provision` makes the stack and its certificate");
    }
    Ok(found)
}

/// What the certificates say of themselves.
pub(in crate::engine) fn info(host: &Host) -> Result<Vec<CertificateInfo>> {
    let declared = declared(&Manifest::load(host)?)?;
    declared.iter().map(|(_, certificate)| certificate_info(certificate, host)).collect()
}

/// The certificates to be made anew, and what is started with them. With `within`, only those that end
/// within so many days.
pub(in crate::engine) fn wanted(
    manifest: &Manifest,
    days: Option<u16>,
    within: Option<u16>,
    host: &Host,
) -> Result<Vec<Declared>> {
    let mut wanted = Vec::new();
    for (tag, certificate) in declared(manifest)? {
        let resource = renewed(certificate, days, within, host)?;
        wanted.extend(with_users(Declared::new(tag, resource), manifest));
    }
    // Something may be started with several of them.
    let certificates = |declared: &Declared| matches!(declared.resource, Resource::Certificate(_));
    let (mut all, users): (Vec<_>, Vec<_>) = wanted.into_iter().partition(certificates);
    let mut seen = HashSet::new();
    all.extend(users.into_iter().filter(|user| seen.insert(user.resource.id())));
    Ok(all)
}

/// A certificate so declared that a new one is made.
fn renewed(
    mut certificate: Certificate,
    days: Option<u16>,
    within: Option<u16>,
    host: &Host,
) -> Result<Certificate> {
    if let Some(days) = days {
        certificate.days = days;
    }
    if let Some(within) = within {
        certificate.renew_before = within;
    } else {
        certificate.replaces = certificate_info(&certificate, host).ok().map(|now| now.sha256);
    }
    let (days, before) = (certificate.days, certificate.renew_before);
    if days > before {
        return Ok(certificate);
    }
    Err(anyhow!(
        "a certificate for {days} days would be renewed at once: that is done {before} days before its end"
    ))
    .hint("give more days, or set `tls.renew_before` in the inventory and provision first")
}
