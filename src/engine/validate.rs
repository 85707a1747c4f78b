//! Tests nginx's configuration as a whole, as it will be, before any of it is changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use super::plan::{Step, Wanted};
use crate::resource::{Advise, Host, Resource, last_lines};

const CONFIGURATION: &str = "/etc/nginx";

/// Whether a resource is a part of nginx's configuration.
pub(super) fn is_nginx_configuration(resource: &Resource) -> bool {
    resource.path().is_some_and(|path| path.starts_with(CONFIGURATION))
}

/// Brings a copy of the configuration to what is `wanted` and lets nginx test that copy in its
/// real place, seen by the test alone.
pub(super) async fn nginx_configuration(wanted: &Wanted, host: &Host) -> Result<()> {
    let stage = tempfile::Builder::new()
        .prefix("hwctl-stage-")
        .tempdir_in(host.path(Path::new("/run")))
        .context("make a folder to test nginx's configuration in")?;
    let staged = host.staged(stage.path());
    let copy = staged.path(Path::new(CONFIGURATION));
    fs::create_dir_all(&copy)?;
    for table in ["/etc/passwd", "/etc/group"] {
        fs::copy(host.path(Path::new(table)), staged.path(Path::new(table)))
            .with_context(|| format!("copy `{table}`"))?;
    }
    let state = staged.state_dir();
    fs::create_dir_all(state.parent().context("the state folder's parent")?)?;
    symlink(host.state_dir(), state)?;
    let source = format!("{CONFIGURATION}/.");
    host.run("cp", &["-a", &source, &copy.to_string_lossy()]).await?;
    let steps = wanted.declared.iter().chain(&wanted.removals);
    for Step { resource, to, .. } in steps.filter(|step| is_nginx_configuration(&step.resource)) {
        if let Some(to) = to {
            resource.restore(to, &staged).await?;
            continue;
        }
        let examined = resource.examine(&staged).await?;
        if examined.change.is_some() {
            resource.apply(&examined.before, &staged).await?;
        }
    }
    let script = r#"mount --bind "$1" /etc/nginx && exec nginx -t -q"#;
    let args = ["--mount", "--", "sh", "-c", script, "sh", &copy.to_string_lossy()];
    let output = host.output("unshare", &args).await?;
    if output.status.success() {
        return Ok(());
    }
    Err(anyhow!("nginx does not accept the new configuration: {}", last_lines(&output, 4)))
        .hint("mend the template or the variable it comes from; nginx serves the old one on")
}
