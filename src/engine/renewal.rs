//! The certificate that hwctl made on this host: what it says, and what makes a new one.

use anyhow::{Result, anyhow};

use super::goal::with_users;
use super::manifest::Manifest;
use crate::resource::{
    Advise, Certificate, CertificateInfo, Declared, Host, Resource, certificate_info,
};

/// The certificate of the stack, as it was declared last.
pub(super) fn declared(manifest: &Manifest) -> Result<(String, Certificate)> {
    let mut known = manifest.known();
    let found = known.find_map(|(tag, resource)| match resource {
        Resource::Certificate(certificate) => Some((tag.to_owned(), certificate.clone())),
        _ => None,
    });
    found
        .ok_or_else(|| anyhow!("hwctl has made no certificate on this host"))
        .hint("`hwctl provision` makes the stack and its certificate")
}

/// What the certificate of the stack says of itself.
pub(super) fn info(host: &Host) -> Result<CertificateInfo> {
    let (_, certificate) = declared(&Manifest::load(host)?)?;
    certificate_info(&certificate, host)
}

/// A certificate to be made anew, and what is started with it. With `within`, only one that ends
/// within so many days.
pub(super) fn wanted(
    manifest: &Manifest,
    days: Option<u16>,
    within: Option<u16>,
    host: &Host,
) -> Result<Vec<Declared>> {
    let (tag, mut certificate) = declared(manifest)?;
    if let Some(days) = days {
        certificate.days = days;
    }
    if let Some(within) = within {
        certificate.renew_before = within;
    } else {
        certificate.replaces = certificate_info(&certificate, host).ok().map(|now| now.sha256);
    }
    if certificate.days <= certificate.renew_before {
        let (days, before) = (certificate.days, certificate.renew_before);
        return Err(anyhow!(
            "a certificate for {days} days would be renewed at once: that is done {before} days \
             before its end"
        ))
        .hint("give more days, or set `tls.renew_before` in the inventory and provision first");
    }
    let first = Declared { tag, resource: certificate.into() };
    Ok(with_users(first, manifest))
}
