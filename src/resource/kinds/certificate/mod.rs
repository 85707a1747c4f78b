//! A self-signed certificate and its key, both made on the host; the key never leaves it.

mod info;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rand::TryRng as _;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::fs::write_atomic;
use crate::resource::host::path_state::PathState;
use crate::resource::kinds::firewall::undo_of_file;
use crate::resource::kinds::kind::Kind;
use crate::resource::kinds::path_back::path_back;
use crate::resource::model::change::{Action, Back, Change, Detail};
use crate::resource::model::digest::sha256;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk};

pub use info::{CertificateInfo, certificate_info, expiry, fingerprint};

const DAY: Duration = Duration::from_hours(24);

/// A certificate for server authentication (ECDSA P-256) with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Where the certificate is (PEM, mode 0644).
    pub certificate: PathBuf,
    /// Where the key is (PEM, mode 0600).
    pub key: PathBuf,
    /// Names and addresses it is for; the first is its common name.
    pub names: Vec<String>,
    /// Those of them by which operators have reached the host.
    #[serde(default)]
    pub known_by: Vec<String>,
    /// Life of a new one, in days.
    pub days: u16,
    /// A new one is made when fewer days than this are left.
    pub renew_before: u16,
    /// A new one is made in the place of the one with this fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// The two files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateState {
    certificate: PathState,
    key: PathState,
}

impl Certificate {
    /// Why a new one is needed, as before and after of one property.
    fn reason(&self, state: &CertificateState) -> Option<(&'static str, Option<String>, String)> {
        let days = format!("valid {} days", self.days);
        let Some(found) = state.found(self.certificate.clone()) else {
            let before = (state.certificate != PathState::Absent).then(|| "unreadable".to_owned());
            return Some(("validity", before, days));
        };
        if !found.key_matches {
            let before = Some("does not belong to the certificate".to_owned());
            return Some(("key", before, "made anew".to_owned()));
        }
        if found.names != self.names {
            return Some(("names", Some(found.names.join(" ")), self.names.join(" ")));
        }
        let is_asked = self.replaces.as_ref().is_some_and(|replaced| *replaced == found.sha256);
        let until = UNIX_EPOCH + Duration::from_secs(found.until.try_into().unwrap_or_default());
        let left = until.duration_since(SystemTime::now()).unwrap_or_default();
        let left_days = left.as_secs() / DAY.as_secs();
        (is_asked || left < DAY * u32::from(self.renew_before)).then(|| {
            let before = match left.is_zero() {
                true => "expired".to_owned(),
                false => format!("{left_days} days left"),
            };
            ("validity", Some(before), days)
        })
    }

    /// A new certificate and key, as PEM.
    fn make(&self) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(self.names.clone())?;
        params.distinguished_name = DistinguishedName::new();
        let common_name = self.names.first().context("a certificate needs a name")?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let mut serial = [0_u8; 16];
        rand::rngs::SysRng.try_fill_bytes(&mut serial).context("read random bytes")?;
        // A serial number is a positive integer: its first bit is clear.
        serial[0] &= 0x7f;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let now = SystemTime::now();
        // Clients whose clock is a little behind accept it at once.
        params.not_before = (now - Duration::from_hours(1)).into();
        params.not_after = (now + DAY * u32::from(self.days)).into();
        let certificate = params.self_signed(&key)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

impl Kind for Certificate {
    type State = CertificateState;

    const WORD: &'static str = "certificate";

    fn id(&self) -> Id {
        Id::new(Self::WORD, self.certificate.display())
    }

    fn named(_: &str) -> Option<Self> {
        None
    }

    fn profile(&self) -> Profile<'_> {
        Profile {
            place: Place::Bundle(&self.certificate),
            target: None,
            written: [Some(&self.certificate), Some(&self.key)],
            bytes: 0,
            blob: None,
            inputs: &[],
            needs: Needs::Place,
            pace: Pace::InTurn,
            is_data: false,
            risk: Risk::at(&self.certificate),
            undo: undo_of_file(&self.certificate),
            series: None,
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        // What it replaced is done with.
        Self { replaces: None, ..self.clone() }
    }

    async fn read(&self, host: &Host) -> Result<CertificateState> {
        Ok(CertificateState {
            certificate: PathState::read(&host.path(&self.certificate), host)?,
            key: PathState::read(&host.path(&self.key), host)?,
        })
    }

    fn diff(&self, state: &CertificateState, host: &Host) -> Result<Option<Change>> {
        for (path, found) in [(&self.certificate, &state.certificate), (&self.key, &state.key)] {
            if let PathState::Other(found) = found {
                crate::resource::host::path_state::in_the_way(path, found, "file")?;
            }
        }
        let action = match state.certificate {
            PathState::Absent => Action::Create,
            _ => Action::Update,
        };
        let mut change = Change::new(self.id(), action);
        if let Some((name, before, after)) = self.reason(state) {
            change = change.attribute(name, before, Some(after));
        } else {
            for (name, state, wanted) in
                [("mode", &state.certificate, 0o644), ("key mode", &state.key, 0o600)]
            {
                change = change.attribute(name, access(state), Some(access_text(wanted, 0, 0)));
            }
        }
        for (name, state) in [("acl", &state.certificate), ("key acl", &state.key)] {
            let acl = state.attributes().and_then(|attributes| attributes.acl(host));
            change = change.attribute(name, acl, None);
        }
        Ok(change.unless_empty())
    }

    fn digest(&self, state: &CertificateState, _: &Host) -> Option<String> {
        let current = self.reason(state).is_none();
        current.then(|| state.certificate.bytes().map(sha256)).flatten()
    }

    fn digest_now(&self, state: &CertificateState, _: &Host) -> Option<String> {
        state.certificate.bytes().map(sha256)
    }

    fn changed_at(&self, host: &Host) -> Option<SystemTime> {
        crate::resource::host::fs::changed(&host.path(&self.certificate))
    }

    async fn apply(&self, state: &CertificateState, host: &Host) -> Result<()> {
        state.key.keep(&host.path(&self.key), host)?;
        state.certificate.keep(&host.path(&self.certificate), host)?;
        let (certificate, key) = if let (
            None,
            PathState::File { bytes: certificate, .. },
            PathState::File { bytes: key, .. },
        ) = (self.reason(state), &state.certificate, &state.key)
        {
            (certificate.clone(), key.clone())
        } else {
            let (certificate, key) = self.make()?;
            (certificate.into_bytes(), key.into_bytes())
        };
        write_pair(host, (&self.key, &key), (&self.certificate, &certificate))
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &CertificateState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &CertificateState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &CertificateState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &CertificateState, host: &Host) -> Result<()> {
        before.key.restore(&host.path(&self.key), host)?;
        before.certificate.restore(&host.path(&self.certificate), host)
    }

    async fn diff_back(
        &self,
        now: &CertificateState,
        to: &CertificateState,
        host: &Host,
    ) -> Result<Back> {
        let key = path_back(self.id(), &self.key, &now.key, &to.key, host)?;
        let certificate =
            path_back(self.id(), &self.certificate, &now.certificate, &to.certificate, host)?;
        Ok(match (certificate, key) {
            (Back::Change(mut change), key) => {
                // Base64 says nothing to a person.
                change.details.retain(|detail| !matches!(detail, Detail::Text { .. }));
                change = change.attribute("certificate", now.summary(), to.summary());
                if let Back::Change(_) = key {
                    let word =
                        |state: &PathState, word: &str| state.bytes().map(|_| word.to_owned());
                    let (before, after) =
                        (word(&now.key, "made by hwctl"), word(&to.key, "restored"));
                    change = change.attribute("key", before, after);
                }
                Back::Change(change)
            }
            (Back::Nothing, key) => key,
            (kept, _) => kept,
        })
    }
}

/// Both are written beside their places, then put there one right after the other: whoever starts
/// nginx meanwhile finds the old pair or the new one. A pair that a crash leaves torn is seen by
/// the next run, which makes a new one.
fn write_pair(host: &Host, key: (&Path, &[u8]), certificate: (&Path, &[u8])) -> Result<()> {
    let places = [host.path(key.0), host.path(certificate.0)];
    let beside = places.each_ref().map(|place| place.with_added_extension("new"));
    write_atomic(&beside[0], key.1, 0o600, Some((0, 0)))?;
    write_atomic(&beside[1], certificate.1, 0o644, Some((0, 0)))?;
    for (from, to) in beside.iter().zip(&places) {
        std::fs::rename(from, to).with_context(|| format!("write `{}`", to.display()))?;
    }
    Ok(())
}

fn access(state: &PathState) -> Option<String> {
    match state {
        PathState::Link { .. } => Some("symbolic link".to_owned()),
        _ => state.access().map(|(mode, uid, gid)| access_text(mode, uid, gid)),
    }
}

fn access_text(mode: u32, uid: u32, gid: u32) -> String {
    format!("{mode:04o} {uid}:{gid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate_for(names: &[&str]) -> Certificate {
        Certificate {
            certificate: "/c".into(),
            key: "/k".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            known_by: Vec::new(),
            days: 90,
            renew_before: 30,
            replaces: None,
        }
    }

    #[test]
    fn a_new_certificate_says_what_was_asked_and_needs_no_other() {
        let wanted = certificate_for(&["203.0.113.7", "example.org", "2001:db8::1"]);
        let (certificate, key) = wanted.make().unwrap();
        let file = |text: &str| PathState::File {
            mode: 0o644,
            uid: 0,
            gid: 0,
            bytes: text.as_bytes().to_vec(),
            attributes: Box::default(),
        };
        let state = CertificateState { certificate: file(&certificate), key: file(&key) };
        assert_eq!(wanted.reason(&state), None);

        let soon = Certificate { renew_before: 91, ..wanted.clone() };
        assert_eq!(soon.reason(&state).unwrap().0, "validity");
        let other = Certificate { names: vec!["example.net".into()], ..wanted.clone() };
        assert_eq!(other.reason(&state).unwrap().0, "names");
        let torn = CertificateState { key: file(&wanted.make().unwrap().1), ..state };
        assert_eq!(wanted.reason(&torn).unwrap().0, "key");
    }

    /// A certificate for a name and an address, and its key.
    fn pair() -> String {
        let (certificate, key) = certificate_for(&["example.org", "2001:db8::1"]).make().unwrap();
        certificate + &key
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_certificate_is_read_or_none(bytes in crate::damaged::bytes(&[pair().as_bytes()])) {
            let file = PathState::File { mode: 0o644, uid: 0, gid: 0, bytes, attributes: Box::default() };
            let state = CertificateState { certificate: file.clone(), key: file };
            state.found("/x.crt".into());
        }
    }
}
