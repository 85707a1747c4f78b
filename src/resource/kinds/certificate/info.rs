//! What a certificate says of itself.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rcgen::{KeyPair, PublicKeyData as _};
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;

use super::{Certificate, CertificateState};
use crate::resource::host::Host;
use crate::resource::host::path_state::PathState;
use crate::resource::model::digest::sha256;

/// What a certificate on the host says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CertificateInfo {
    /// Where it is.
    pub path: PathBuf,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// From when it is valid, in seconds since 1970.
    pub from: i64,
    /// Until when it is valid, in seconds since 1970.
    pub until: i64,
    /// SHA-256 of it (DER), in hex.
    pub sha256: String,
    /// Whether the key beside it is its own.
    pub key_matches: bool,
}

/// What `certificate` says of itself on this host.
pub fn certificate_info(certificate: &Certificate, host: &Host) -> Result<CertificateInfo> {
    let state = CertificateState {
        certificate: PathState::read(&host.path(&certificate.certificate), host)?,
        key: PathState::read(&host.path(&certificate.key), host)?,
    };
    let path = certificate.certificate.clone();
    let shown = path.display().to_string();
    let found = state.found(path);
    found.with_context(|| format!("`{shown}` is absent or no certificate"))
}

/// SHA-256 of the certificate (DER) in the PEM file at `path`, in hex.
pub fn fingerprint(path: &Path) -> Result<String> {
    let shown = path.display();
    let pem = std::fs::read(path).with_context(|| format!("cannot read `{shown}`"))?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem)
        .with_context(|| format!("`{shown}` is not a certificate"))?;
    Ok(sha256(&pem.contents))
}

/// When the certificate in the PEM file at `path` ends to be valid.
pub fn expiry(path: &Path) -> Result<SystemTime> {
    let shown = path.display();
    let pem = std::fs::read(path).with_context(|| format!("cannot read `{shown}`"))?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem)
        .with_context(|| format!("`{shown}` is not a certificate"))?;
    let until = pem.parse_x509()?.validity().not_after.timestamp();
    Ok(UNIX_EPOCH + Duration::from_secs(u64::try_from(until)?))
}

impl CertificateState {
    /// The end and the digest of the certificate, such as `until 2027-02-26, SHA-256 5c1f0a…`. Returns
    /// None if there is no file.
    pub(super) fn summary(&self) -> Option<String> {
        self.certificate.bytes()?;
        let Some(found) = self.found(PathBuf::new()) else { return Some("unreadable".to_owned()) };
        let until = jiff::Timestamp::from_second(found.until).ok()?.strftime("%Y-%m-%d");
        Some(format!("until {until}, SHA-256 {}…", found.sha256.get(..12)?))
    }

    pub(super) fn found(&self, path: PathBuf) -> Option<CertificateInfo> {
        let pem = self.certificate.bytes()?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem).ok()?;
        let certificate = pem.parse_x509().ok()?;
        let mut names = Vec::new();
        if let Ok(Some(extension)) = certificate.subject_alternative_name() {
            for name in &extension.value.general_names {
                match name {
                    GeneralName::DNSName(name) => names.push((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => names.extend(address_text(bytes)),
                    _ => {}
                }
            }
        }
        let validity = certificate.validity();
        let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let key = self.key.bytes().and_then(|pem| str::from_utf8(pem).ok());
        let key_matches = key
            .and_then(|pem| KeyPair::from_pem(pem).ok())
            .is_some_and(|key| key.subject_public_key_info() == certificate.public_key().raw);
        Some(CertificateInfo {
            path,
            names,
            from,
            until,
            sha256: sha256(&pem.contents),
            key_matches,
        })
    }
}

fn address_text(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|all| std::net::Ipv6Addr::from(all).to_string())
}
