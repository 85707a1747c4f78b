//! Certificates on the host: expired, not yet valid, or without their keys.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::{Case, Driver, Later, Symptoms};
use crate::event::{Finding, Fix};
use crate::resource::{Certificate, Host, Resource, certificate_info};

/// The driver of certificates.
#[derive(Debug)]
pub(crate) struct Tls;

impl Driver for Tls {
    fn name(&self) -> &'static str {
        "tls"
    }

    fn diagnose<'a>(
        &'a self,
        case: &'a Case<'a>,
        symptoms: &'a Symptoms<'a>,
    ) -> Later<'a, Vec<Finding>> {
        let certificates = symptoms.resources_of(case.part).filter_map(|resource| match resource {
            Resource::Certificate(certificate) => Some(certificate),
            _ => None,
        });
        let found = certificates.filter_map(|certificate| wrong_with(certificate, case.host));
        let found = found.collect();
        Box::pin(async { Ok(found) })
    }
}

fn wrong_with(certificate: &Certificate, host: &Host) -> Option<Finding> {
    let path = certificate.certificate.display();
    let info = match certificate_info(certificate, host) {
        Ok(info) => info,
        Err(error) => {
            let what = format!("the certificate `{path}` cannot be read");
            return Some(found("certificate-absent", what, format!("{error:#}")));
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let time = |seconds: i64| {
        let time = jiff::Timestamp::from_second(seconds);
        time.map_or_else(|_| seconds.to_string(), |time| time.strftime("%F %R UTC").to_string())
    };
    if info.until <= now {
        let what = format!("the certificate expired on {}", time(info.until));
        return Some(found(
            "certificate-expired",
            what,
            format!("`{path}`, SHA-256 {}", info.sha256),
        ));
    }
    if info.from > now {
        let what = format!("the certificate is not valid before {}", time(info.from));
        return Some(found(
            "certificate-early",
            what,
            format!("the host's clock says {}", time(now)),
        ));
    }
    let what = "the private key does not match the certificate".to_owned();
    (!info.key_matches)
        .then(|| found("certificate-key", what, certificate.key.display().to_string()))
}

fn found(cause: &str, what: String, evidence: String) -> Finding {
    Finding::new(cause, what)
        .evidence([evidence])
        .next("`hwctl cert renew` makes a new one; `systemctl status hwctl-renew.timer` on the host says why the host did not")
        .fix(Fix::Provision { tags: vec!["tls".to_owned(), "nginx".to_owned()] })
}
