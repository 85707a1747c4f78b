//! What a file holds: text with places for secrets that only the host knows, a block inside
//! somebody else's text, or a blob.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::kinds::file::json_settings::JsonSettings;
use crate::resource::model::blob::Blob;
use crate::resource::model::digest::sha256;
use crate::resource::model::environment::parse_environment;
use crate::resource::model::id::Id;
use crate::resource::model::secret::Secret;

use crate::resource::model::password_hash::HashScheme;

/// A file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Text in parts, joined without anything between them.
    Parts(Vec<Part>),
    /// A block between two marked lines of a file that belongs to somebody else.
    Block {
        /// Stands in the marking lines.
        marker: String,
        /// The lines of the block.
        text: String,
    },
    /// Bytes that are not shown.
    Blob(Blob),
    /// Settings in a JSON file that belongs to somebody else.
    Json(JsonSettings),
}

/// One part of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Plain text, which may be shown.
    Text(String),
    /// A secret that the host made for itself, by its name.
    HostSecret(String),
    /// A secret of the operator.
    Secret {
        /// What a plan calls it, such as `containers.db.env.PASSWORD`.
        name: String,
        /// The secret, quoted as the file needs it. It has no line break.
        value: Secret,
    },
    /// The hash of a password; a hash in the live file that still matches is kept.
    Hash {
        /// Whose password: stands as `user:` before the hash.
        user: String,
        /// The password.
        password: Secret,
        /// The kind of hash.
        scheme: HashScheme,
    },
}

/// A shorter value of an environment is more likely a word or a number than a secret.
const SHORTEST_OF_ENVIRONMENT: usize = 8;

/// What searches for the hash of a password in a text have found.
type HashSearches = RefCell<HashMap<String, Option<String>>>;

/// A content as it will be on this host.
pub(in crate::resource) struct Rendered {
    /// The bytes; `None` while a part is not known yet.
    pub(in crate::resource) bytes: Option<Vec<u8>>,
    /// The text with secrets replaced by their names; `None` for bytes that are not shown.
    pub(in crate::resource) shown: Option<String>,
    /// The text as it will be, of one with secrets, as far as it is known yet.
    pub(in crate::resource) known: String,
}

impl Content {
    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Parts(vec![Part::Text(text.into())])
    }

    /// Notes the operator's secrets in it.
    pub(in crate::resource) fn hide_secrets(&self, host: &Host) {
        let Self::Parts(parts) = self else { return };
        for part in parts {
            match part {
                Part::Secret { value, .. } => host.hide(value.expose()),
                Part::Hash { password, .. } => host.hide(password.expose()),
                Part::Text(_) | Part::HostSecret(_) => {}
            }
        }
    }

    /// Notes what is in an environment file that others may not read. Which of its variables are secrets is not known any
    /// more.
    pub(in crate::resource) fn hide_environment(path: &Path, host: &Host) {
        let Ok(text) = std::fs::read_to_string(host.path(path)) else { return };
        for (_, value) in parse_environment(&text).unwrap_or_default() {
            if value.len() >= SHORTEST_OF_ENVIRONMENT {
                host.hide(&value);
            }
        }
    }

    /// About how many bytes it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        let length = |text: &String| text.len() as u64;
        match self {
            Self::Blob(blob) => blob.size,
            Self::Block { text, .. } => length(text),
            Self::Json(json) => length(&json.settings),
            Self::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => length(text),
                    Part::Secret { value, .. } => value.expose().len() as u64,
                    // A key or a hash is shorter than this.
                    Part::HostSecret(_) | Part::Hash { .. } => 256,
                })
                .sum(),
        }
    }

    /// Looks for the hashes of passwords in the live file beside other reads: by design each takes
    /// its time. What is found is noted, since it is asked for more than once.
    pub(in crate::resource) async fn look_for_hashes(
        &self,
        live: &[u8],
        host: &Host,
    ) -> Result<()> {
        let Self::Parts(parts) = self else { return Ok(()) };
        let searches = host.cached::<HashSearches>();
        for part in parts {
            let Part::Hash { user, password, scheme } = part.clone() else { continue };
            let live = String::from_utf8_lossy(live).into_owned();
            let search = scheme.search(&live, &user, &password);
            if searches.borrow().contains_key(&search) {
                continue;
            }
            let has_voucher = |hash: &&str| host.has_voucher(scheme, &password, hash);
            let vouched = HashScheme::candidates(&live, &user).find(has_voucher);
            let found = if let Some(hash) = vouched.map(str::to_owned) {
                Some(hash)
            } else {
                let password = password.clone();
                let find = move || scheme.find(&live, &user, &password);
                tokio::task::spawn_blocking(find).await?
            };
            if let Some(hash) = &found {
                host.add_voucher(scheme, &password, hash);
            }
            searches.borrow_mut().insert(search, found);
        }
        Ok(())
    }

    /// The names of the host's own secrets in it.
    pub(in crate::resource) fn host_secrets(&self) -> impl Iterator<Item = &str> {
        let parts = match self {
            Self::Parts(parts) => parts.as_slice(),
            Self::Block { .. } | Self::Blob(_) | Self::Json(_) => &[],
        };
        parts.iter().filter_map(|part| match part {
            Part::HostSecret(name) => Some(name.as_str()),
            Part::Text(_) | Part::Secret { .. } | Part::Hash { .. } => None,
        })
    }

    /// Whether a part of it must not be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Parts(parts) if parts.iter().any(|p| !matches!(p, Part::Text(_))))
    }

    /// The content on this host, given what the file holds now. With `make`, hashes that are
    /// missing are made; without it, they leave the bytes unknown.
    pub(in crate::resource) fn render(
        &self,
        live: Option<&[u8]>,
        host: &Host,
        make: bool,
    ) -> Result<Rendered> {
        match self {
            Self::Blob(blob) => {
                // Unchanged bytes need not be fetched: they are already in the file.
                let same = live.is_some_and(|live| sha256(live) == blob.key);
                let bytes = match live {
                    Some(live) if same => Some(live.to_vec()),
                    _ if make => Some(host.blob(blob)?),
                    _ => None,
                };
                Ok(Rendered { bytes, shown: None, known: String::new() })
            }
            Self::Block { marker, text } => {
                let live = String::from_utf8_lossy(live.unwrap_or_default());
                let whole = with_block(&live, marker, text);
                let bytes = Some(whole.clone().into_bytes());
                Ok(Rendered { bytes, shown: Some(whole), known: String::new() })
            }
            Self::Json(json) => {
                let bytes = json.merged(live, host)?;
                let shown = Some(String::from_utf8_lossy(&bytes).into_owned());
                Ok(Rendered { bytes: Some(bytes), shown, known: String::new() })
            }
            Self::Parts(parts) => render_parts(parts, live, host, make),
        }
    }
}

fn render_parts(parts: &[Part], live: Option<&[u8]>, host: &Host, make: bool) -> Result<Rendered> {
    let live = live.map(String::from_utf8_lossy);
    let mut is_whole = true;
    let (mut shown, mut known) = (String::new(), String::new());
    for part in parts {
        let text = match part {
            Part::Text(text) => {
                shown.push_str(text);
                Some(text.clone())
            }
            Part::HostSecret(name) => {
                write!(shown, "<secret {name}>")?;
                // One that is getting another value is not known before it has it.
                match host.will_be_unknown(&Id::new("secret", name)) {
                    true => None,
                    false => read_host_secret(host, name)?,
                }
            }
            Part::Secret { name, value } => {
                write!(shown, "<secret {name}>")?;
                Some(value.expose().to_owned())
            }
            Part::Hash { user, password, scheme } => {
                write!(shown, "<hash of {user}'s password>")?;
                let kept = live.as_deref().and_then(|live| {
                    let search = scheme.search(live, user, password);
                    let known = host.cached::<HashSearches>().borrow().get(&search).cloned();
                    known.unwrap_or_else(|| scheme.find(live, user, password))
                });
                match kept {
                    None if make => Some(scheme.hash(password)?),
                    kept => kept,
                }
            }
        };
        is_whole &= text.is_some();
        known.push_str(text.as_deref().unwrap_or("\0"));
    }
    let bytes = is_whole.then(|| known.clone().into_bytes());
    Ok(Rendered { bytes, shown: Some(shown), known })
}

/// What may be shown of a live file whose desired content has secrets in it: lines that it has, too
/// (`known`), as they are `shown` of it, and of the others no more than the name before a `=` or `:`.
pub(in crate::resource) fn mask_live(live: &str, known: &str, shown: &str) -> String {
    let stays: HashMap<&str, &str> = known.lines().zip(shown.lines()).collect();
    let mut masked = String::new();
    for line in live.lines() {
        if let Some(line) = stays.get(line) {
            masked.push_str(line);
        } else {
            let name = line.find(['=', ':']).map_or("", |end| &line[..=end]);
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-=:. ".contains(c));
            masked.push_str(if is_name { name } else { "" });
            masked.push_str("<hidden: may hold a secret>");
        }
        masked.push('\n');
    }
    masked
}

/// `text` put between the marking lines of `live`, or at its end when it has none.
fn with_block(live: &str, marker: &str, text: &str) -> String {
    let (begin, end) = (format!("# BEGIN {marker}"), format!("# END {marker}"));
    let mut outside = Vec::new();
    let mut place = None;
    let mut inside = false;
    for line in live.lines() {
        if line == begin {
            place.get_or_insert(outside.len());
            inside = true;
        } else if line == end {
            inside = false;
        } else if !inside {
            outside.push(line);
        }
    }
    let place = place.unwrap_or(outside.len());
    let block = std::iter::once(begin.as_str()).chain(text.lines()).chain([end.as_str()]);
    let mut whole = String::new();
    for line in
        outside[..place].iter().copied().chain(block).chain(outside[place..].iter().copied())
    {
        whole.push_str(line);
        whole.push('\n');
    }
    whole
}

/// The file that keeps a secret the host made for itself.
pub(in crate::resource) fn host_secret_path(host: &Host, name: &str) -> PathBuf {
    host.state_dir().join("secrets").join(name)
}

pub(in crate::resource) fn read_host_secret(host: &Host, name: &str) -> Result<Option<String>> {
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        bail!("{name:?} is not the name of a secret");
    }
    match std::fs::read_to_string(host_secret_path(host, name)) {
        Ok(text) => {
            host.hide(&text);
            Ok(Some(text))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read the host's secret `{name}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_added_replaced_and_stable() {
        let once = with_block("a\nb\n", "hwctl", "x");
        assert_eq!(once, "a\nb\n# BEGIN hwctl\nx\n# END hwctl\n");
        assert_eq!(with_block(&once, "hwctl", "x"), once);
        let moved = "# BEGIN hwctl\nold\n# END hwctl\na\n";
        assert_eq!(with_block(moved, "hwctl", "x"), "# BEGIN hwctl\nx\n# END hwctl\na\n");
    }

    #[test]
    fn a_live_file_with_secrets_shows_only_names() {
        let shown = "PORT=1\nKEY=<secret jwt-key>\n";
        let live = "PORT=1\nKEY=planted\nplanted again\nadmin:planted\n";
        let masked = mask_live(live, "PORT=1\nKEY=\0\n", shown);
        assert!(!masked.contains("planted"), "{masked}");
        assert!(masked.starts_with("PORT=1\nKEY=<hidden"), "{masked}");
        // A secret that stays is no difference.
        let masked = mask_live(live, "PORT=1\nKEY=planted\n", shown);
        assert!(masked.starts_with(shown) && !masked.contains("planted"), "{masked}");
    }
}
