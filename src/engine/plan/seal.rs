//! Seals of changes: two plans are compared by them, also in what neither of them shows, such as passwords and
//! the bytes of programs.
//!
//! A seal is a MAC with a key that the host makes and keeps for root alone. A plan that is kept somewhere,
//! such as in the comment of a review, therefore tells nobody without that key whether a guessed password is the
//! right one.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRng as _;
use serde::Serialize;
use sha2::Sha256;

use super::Plan;
use crate::engine::record::journal::make_private;
use crate::resource::{Host, Resource, Saved, Secret, encode, hex, write_atomic};

/// The key's size, which is that of the MAC.
const KEY_BYTES: usize = 32;

/// All that decides what a change does, shown or not.
#[derive(Serialize)]
struct Sealed<'a> {
    tag: &'a str,
    resource: &'a Resource,
    /// The earlier state that the resource is brought back to.
    to: Option<&'a Saved>,
    /// The digest of the content that the change replaces.
    before: Option<String>,
}

/// A seal for each change of a plan that was just made.
pub(in crate::engine) fn of(plan: &Plan, host: &Host) -> Result<Vec<String>> {
    if plan.steps.is_empty() {
        return Ok(Vec::new());
    }
    let key = key(host)?;
    let seal = |sealed: &Sealed<'_>| {
        let mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
            .map_err(|error| anyhow!("seal a change: {error}"))?;
        Ok(hex(&mac.chain_update(encode(sealed)?).finalize().into_bytes()))
    };
    plan.steps
        .iter()
        .map(|step| {
            let before = host.digest_now_of(&step.resource.id());
            let (tag, resource, to) = (&step.tag, &step.resource, step.to.as_ref());
            seal(&Sealed { tag, resource, to, before })
        })
        .collect()
}

fn path(host: &Host) -> PathBuf {
    host.state_dir().join("seal-key")
}

/// The host's key. The first plan that is sealed makes it.
fn key(host: &Host) -> Result<Secret> {
    let path = path(host);
    if let Ok(key) = fs::read_to_string(&path)
        && key.len() == 2 * KEY_BYTES
    {
        return Ok(Secret::new(key));
    }
    let mut bytes = [0; KEY_BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).context("read random bytes")?;
    let key = hex(&bytes);
    make_private(&host.state_dir())?;
    write_atomic(&path, key.as_bytes(), 0o600, None)?;
    Ok(Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::Wanted;
    use crate::engine::record::step::Step;
    use crate::resource::{Content, Declared, File, HashScheme, Part};

    fn host(root: &std::path::Path) -> Host {
        Host::new(root, Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()))
    }

    async fn seals(password: &str, host: &Host) -> Vec<String> {
        let hash = Part::Hash {
            user: "admin".to_owned(),
            password: Secret::new(password),
            scheme: HashScheme::Sha512Crypt,
        };
        let mut file = File::text("/etc/users", "");
        file.content = Content::Parts(vec![hash]);
        let step = Step::from(Declared::new("sites", file));
        let plan = Plan::make(&Wanted::declared_only(vec![step]), host).await.unwrap();
        of(&plan, host).unwrap()
    }

    #[tokio::test]
    async fn a_seal_is_of_what_a_plan_hides_and_of_the_hosts_own_key() {
        let (root, other_root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for root in [&root, &other_root] {
            fs::create_dir(root.path().join("etc")).unwrap();
        }
        let (here, there) = (host(root.path()), host(other_root.path()));

        let first = seals("correct horse", &here).await;
        let again = seals("correct horse", &host(root.path())).await;
        let other_password = seals("battery staple", &here).await;
        let other_host = seals("correct horse", &there).await;

        assert_eq!(first.len(), 1);
        assert_eq!(first, again);
        assert_ne!(first, other_password);
        assert_ne!(first, other_host);
    }

    #[tokio::test]
    async fn a_seal_is_of_the_content_that_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let here = host(root.path());
        let mut of_contents = Vec::new();

        for content in ["hand 1", "hand 2"] {
            fs::write(root.path().join("etc/users"), content).unwrap();
            of_contents.push(seals("correct horse", &here).await);
        }

        assert_ne!(of_contents[0], of_contents[1]);
    }
}
