//! The API on the host.

mod diagnosis;
mod health;
mod signs;
mod token;

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::engine::{Case, Driver, Later, Symptoms};
use crate::event::{Finding, Sign};
use crate::resource::{Host, Owner};

/// The user that nginx's workers run as.
const WORKER: &str = "www-data";

/// The driver of the API. Its spec has to have the setting `socket`: the path of the API's socket.
#[derive(Debug)]
pub(crate) struct Api;

impl Driver for Api {
    fn name(&self) -> &'static str {
        "api"
    }

    fn inspect<'a>(&'a self, _: &'a str, case: &'a Case<'a>) -> Later<'a, String> {
        Box::pin(async {
            let path = case.part.settings.get("socket").context("its spec names no socket")?;
            socket(case.host, Path::new(path))
        })
    }

    fn signs<'a>(&'a self, case: &'a Case<'a>) -> Later<'a, Vec<Sign>> {
        Box::pin(signs::signs(case))
    }

    fn diagnose<'a>(
        &'a self,
        case: &'a Case<'a>,
        symptoms: &'a Symptoms<'a>,
    ) -> Later<'a, Vec<Finding>> {
        Box::pin(async {
            let found = diagnosis::diagnose(case, symptoms).await?;
            Ok(found.into_iter().chain(token::diagnose(case, symptoms)).collect())
        })
    }
}

/// Requires that nginx can open new connections to the API. A look through nginx does not show that, since
/// nginx keeps its connections to the API open.
fn socket(host: &Host, path: &Path) -> Result<String> {
    let shown = path.display();
    let Ok(found) = fs::metadata(host.path(path)) else {
        bail!("`{shown}` does not exist");
    };
    if !found.file_type().is_socket() {
        bail!("`{shown}` is not a socket");
    }
    let mode = found.mode() & 0o7777;
    let Some((user, group)) = Owner::new(WORKER, WORKER).resolve(host)? else {
        bail!("there is no user `{WORKER}`");
    };
    let write = match () {
        () if found.uid() == user => 0o200,
        () if found.gid() == group => 0o020,
        () => 0o002,
    };
    match mode & write {
        0 => Err(anyhow!("nginx cannot connect to it: its mode is {mode:04o}")),
        _ => Ok(format!("open to nginx, mode {mode:04o}")),
    }
}
