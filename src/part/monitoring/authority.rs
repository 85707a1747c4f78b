//! The certificates by which the monitor and its peers know each other. All of them follow from the key in the inventory
//! alone, so each run makes the same ones, whichever hosts it works on, and no host has the keys of the authorities.
//!
//! There are two authorities: what a peer shows proves nothing to another peer.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SerialNumber,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::Sha256;

use crate::resource::Secret;

/// A shorter key could be guessed by a host that has a certificate made with it.
pub(super) const MIN_KEY: usize = 32;
const DAY: Duration = Duration::from_hours(24);
/// Certificates are made anew in the first run of each period of so many days.
const PERIOD_DAYS: u32 = 90;
/// How long a certificate is valid from the beginning of its period, in days.
const VALID_DAYS: u32 = 450;
/// With fewer days left a certificate is a fault: no run has renewed it for most of a year.
pub(super) const MIN_DAYS: u16 = 60;
/// The life of the authorities, in days since 1970: from 2020 to 2100.
const AUTHORITY: (u32, u32) = (18_262, 47_482);
/// What comes before the 32 bytes of a key of Ed25519 in PKCS #8 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Which hosts have a certificate, and to whom they show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The monitor, to its peers.
    Monitor,
    /// A host that is measured, to the monitor.
    Measured,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Monitor => "monitors",
            Self::Measured => "measured hosts",
        }
    }
}

/// A certificate and its key, as PEM.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: Secret,
}

/// The key of the inventory, from which all else follows.
pub(super) struct Authority<'a>(pub(super) &'a Secret);

impl Authority<'_> {
    /// The certificate of the authority for this kind of host, as PEM.
    pub(super) fn certificate(&self, kind: Kind) -> Result<String> {
        Ok(self.params(kind).self_signed(&self.key(kind)?)?.pem())
    }

    /// What a host shows, as of `now`.
    pub(super) fn identity(&self, kind: Kind, host: &str, now: SystemTime) -> Result<Identity> {
        let days = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY.as_secs();
        let period = u32::try_from(days).unwrap_or_default() / PERIOD_DAYS;
        let key = self.pair(&format!("key of {} {host} {period}", kind.word()))?;
        let mut params = CertificateParams::new(vec![name(host)])?;
        params.distinguished_name = called(host);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match kind {
            Kind::Monitor => ExtendedKeyUsagePurpose::ClientAuth,
            Kind::Measured => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        params.serial_number = Some(self.serial(&format!("{} {host} {period}", kind.word())));
        // A clock that is a day behind does no harm.
        let began = period * PERIOD_DAYS;
        params.not_before = at(began.saturating_sub(1)).into();
        params.not_after = at(began + VALID_DAYS).into();
        let issuer = Issuer::new(self.params(kind), self.key(kind)?);
        let certificate = params.signed_by(&key, &issuer)?.pem();
        Ok(Identity { certificate, key: Secret::new(key.serialize_pem()) })
    }

    fn params(&self, kind: Kind) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = called(&format!("hwctl: {}", kind.word()));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.serial_number = Some(self.serial(kind.word()));
        params.not_before = at(AUTHORITY.0).into();
        params.not_after = at(AUTHORITY.1).into();
        params
    }

    fn key(&self, kind: Kind) -> Result<KeyPair> {
        self.pair(&format!("authority of {}", kind.word()))
    }

    /// The key for this purpose. Ed25519 signs the same thing always in the same way.
    fn pair(&self, purpose: &str) -> Result<KeyPair> {
        let der = [PKCS8.as_slice(), &self.derived(purpose)].concat();
        let key = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(der.as_slice()),
            &PKCS_ED25519,
        );
        key.context("make a key of Ed25519")
    }

    fn serial(&self, purpose: &str) -> SerialNumber {
        let mut serial = self.derived(&format!("serial number of {purpose}"))[..16].to_vec();
        // A serial number is a positive integer: its first bit is clear, and it is not zero.
        serial[0] = (serial[0] & 0x7f) | 1;
        SerialNumber::from(serial)
    }

    fn derived(&self, purpose: &str) -> [u8; 32] {
        let key = self.0.expose().as_bytes();
        let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.chain_update(b"hwctl monitoring 1: ")
            .chain_update(purpose)
            .finalize()
            .into_bytes()
            .into()
    }
}

/// The name that a host is checked by. Names of inventories may hold what those of certificates cannot.
pub(super) fn name(host: &str) -> String {
    let hex = host.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    // A label has at most 63 letters.
    let labels: Vec<_> = hex.as_bytes().chunks(60).map(String::from_utf8_lossy).collect();
    let is_plain = host.len() <= 60
        && !host.starts_with('-')
        && !host.ends_with('-')
        && host.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    match is_plain {
        true => format!("{host}.plain.hwctl.internal"),
        false => format!("{}.hex.hwctl.internal", labels.join(".")),
    }
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

fn at(days: u32) -> SystemTime {
    UNIX_EPOCH + DAY * days
}

#[cfg(test)]
mod tests {
    use x509_parser::parse_x509_certificate;
    use x509_parser::pem::parse_x509_pem;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.repeat(MIN_KEY))
    }

    fn days_left(pem: &str, now: SystemTime) -> i64 {
        let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
        let (_, parsed) = parse_x509_certificate(&pem.contents).unwrap();
        let now = i64::try_from(now.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        assert!(parsed.validity().not_before.timestamp() < now);
        (parsed.validity().not_after.timestamp() - now) / 86_400
    }

    #[test]
    fn each_run_of_a_period_makes_the_same_and_the_next_period_renews_in_time() {
        let key = secret("a");
        let authority = Authority(&key);
        let of_day = |day| authority.identity(Kind::Measured, "web1", at(day)).unwrap();
        let (first, last, next) = (of_day(90 * 230), of_day(90 * 231 - 1), of_day(90 * 231));

        assert_eq!(first.certificate, last.certificate);
        assert_eq!(first.key.expose(), last.key.expose());
        assert_ne!(last.certificate, next.certificate);
        assert_ne!(last.key.expose(), next.key.expose());
        assert!(days_left(&last.certificate, at(90 * 231 - 1)) > i64::from(MIN_DAYS) + 270);
        let issuer = authority.certificate(Kind::Measured).unwrap();
        assert_eq!(issuer, authority.certificate(Kind::Measured).unwrap());
        assert!(days_left(&issuer, at(90 * 231)) > 20_000);
    }

    #[test]
    fn hosts_kinds_and_keys_have_nothing_in_common() {
        let (a, b) = (secret("a"), secret("b"));
        let key = |secret, kind, host| {
            let identity = Authority(secret).identity(kind, host, at(20_700)).unwrap();
            identity.key.expose().to_owned()
        };
        let keys = [
            key(&a, Kind::Measured, "web1"),
            key(&a, Kind::Measured, "web2"),
            key(&a, Kind::Monitor, "web1"),
            key(&b, Kind::Measured, "web1"),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(one), "{at}");
        }
        let authorities = [Kind::Monitor, Kind::Measured];
        let [one, other] = authorities.map(|kind| Authority(&a).certificate(kind).unwrap());
        assert_ne!(one, other);
    }

    #[test]
    fn any_name_of_a_host_has_one_of_its_own_in_certificates() {
        assert_eq!(name("web-1"), "web-1.plain.hwctl.internal");
        assert_eq!(name("Web_1"), "5765625f31.hex.hwctl.internal");
        assert_ne!(name("web1"), name("WEB1"));
        let long = name(&"x.".repeat(60));
        assert!(long.split('.').all(|label| (1..=63).contains(&label.len())), "{long}");
        assert!(Authority(&secret("a")).identity(Kind::Monitor, "a b/ü\"", at(20_700)).is_ok());
    }
}
