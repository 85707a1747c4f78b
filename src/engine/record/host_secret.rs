//! The secrets that a host has made for itself.

use anyhow::{Context, Result};

use crate::resource::{Advise as _, Host, Secret};

/// A secret that this host has made for itself.
pub fn host_secret(host: &Host, name: &str) -> Result<Secret> {
    let path = host.state_dir().join("secrets").join(name);
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("read `{}`", path.display()));
    Ok(Secret::new(text.hint("`hwctl provision` makes the stack")?.trim()))
}
