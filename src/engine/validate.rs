//! Tries nginx's configuration as a whole, as it will be, before any of it is changed.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use super::plan::{Step, Wanted};
use crate::resource::{Advise, Host, Resource, last_lines};

const CONFIGURATION: &str = "/etc/nginx";
const NGINX: &str = "/usr/sbin/nginx";
pub(super) const HINT: &str =
    "mend the template or the variable it comes from; what nginx serves was not changed";

/// Where a stage is made, and what its name begins with.
const STAGES: &str = "/run";
const STAGE: &str = "hwctl-stage-";

/// Removes the stages of a run that was cut off.
pub(super) fn sweep(host: &Host) -> Result<()> {
    for found in fs::read_dir(host.path(Path::new(STAGES))).into_iter().flatten().flatten() {
        if found.file_name().as_encoded_bytes().starts_with(STAGE.as_bytes()) {
            let path = found.path();
            fs::remove_dir_all(&path).with_context(|| format!("remove `{}`", path.display()))?;
        }
    }
    Ok(())
}

/// Whether a resource is a part of nginx's configuration.
pub(super) fn is_nginx_configuration(resource: &Resource) -> bool {
    resource.path().is_some_and(|path| path.starts_with(CONFIGURATION))
}

/// Lets nginx test the configuration that is `wanted`, in its real place, seen by the test alone.
pub(super) async fn nginx_configuration(wanted: &Wanted, host: &Host) -> Result<()> {
    match Stage::make(wanted, host).await?.problem(host).await? {
        None => Ok(()),
        Some(told) => {
            Err(anyhow!("nginx does not accept the new configuration: {told}")).hint(HINT)
        }
    }
}

/// Refuses a configuration that clashes with a file of somebody else, such as a second default server,
/// and names the line of that file. What is wrong with hwctl's own files is left to the run.
pub(super) async fn nginx_conflicts(wanted: &Wanted, host: &Host) -> Result<()> {
    if !host.path(Path::new(NGINX)).exists() {
        return Ok(());
    }
    let stage = Stage::make(wanted, host).await?;
    if stage.problem(host).await?.is_none() {
        return Ok(());
    }
    // nginx names the second of two files that clash.
    stage.read_own_first(wanted)?;
    let Some(told) = stage.problem(host).await? else { return Ok(()) };
    let Some((file, line)) = place(&told) else { return Ok(()) };
    let mut steps = wanted.declared.iter().chain(&wanted.removals);
    let is_own = steps.any(|step| step.resource.path() == Some(Path::new(file)));
    if is_own {
        return Ok(());
    }
    let error = told.split(" | ").find(|line| line.contains("[emerg]")).unwrap_or(&told);
    let what = error.split_once("] ").map_or(error, |(_, what)| what);
    // Where it writes to its log as well, the numbers of its process come first.
    let what = what.trim_start_matches(|c: char| c.is_ascii_digit() || "#: ".contains(c));
    Err(anyhow!("{what}"))
        .hint(format!(
            "change that line on the host, or take the file out of nginx's configuration, for example \
             with `mv {file} /root/`, and run again"
        ))
        .with_context(|| {
            format!("line {line} of `{file}`, which is not hwctl's, clashes with its configuration")
        })
}

/// The file and the line that nginx names in a message.
fn place(told: &str) -> Option<(&str, &str)> {
    let (_, place) = told.rsplit_once(" in /")?;
    let start = told.len() - place.len() - 1;
    let (file, line) = told[start..].split_whitespace().next()?.rsplit_once(':')?;
    line.parse::<u32>().is_ok().then_some((file, line))
}

/// A copy of nginx's configuration as it will be.
struct Stage {
    /// Removes the copy in the end.
    _folder: TempDir,
    copy: PathBuf,
}

impl Stage {
    async fn make(wanted: &Wanted, host: &Host) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(STAGE)
            .tempdir_in(host.path(Path::new(STAGES)))
            .context("make a folder to test nginx's configuration in")?;
        let staged = host.staged(folder.path());
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
        let steps = wanted.giving_way.iter().chain(&wanted.declared).chain(&wanted.removals);
        for Step { resource, to, .. } in steps.filter(|step| is_nginx_configuration(&step.resource))
        {
            if let Some(to) = to {
                resource.restore(to, &staged).await?;
                continue;
            }
            let examined = resource.examine(&staged).await?;
            if examined.change.is_some() {
                resource.apply(&examined.before, &staged).await?;
            }
        }
        Ok(Self { _folder: folder, copy })
    }

    /// What nginx says against it.
    async fn problem(&self, host: &Host) -> Result<Option<String>> {
        let script = r#"umask 027 && mount --bind "$1" /etc/nginx && exec nginx -t -q"#;
        let args = ["--mount", "--", "sh", "-c", script, "sh", &self.copy.to_string_lossy()];
        let output = host.output("unshare", &args).await?;
        Ok((!output.status.success()).then(|| last_lines(&output, 4)))
    }

    /// Lets nginx read hwctl's sites before those of others.
    fn read_own_first(&self, wanted: &Wanted) -> Result<()> {
        let mut own = String::new();
        for step in &wanted.declared {
            let profile = step.resource.profile();
            let (Some(path), Some(target)) = (profile.place.path(), profile.target) else {
                continue;
            };
            let Ok(below) = path.strip_prefix(CONFIGURATION) else { continue };
            let _ = fs::remove_file(self.copy.join(below));
            let _ = writeln!(own, "include {};", target.display());
        }
        let main = self.copy.join("nginx.conf");
        let text =
            fs::read_to_string(&main).with_context(|| format!("read `{}`", main.display()))?;
        // The first line that includes others' files.
        let include = format!("include {CONFIGURATION}/");
        let is_glob = |line: &str| line.trim().starts_with(&include) && line.contains('*');
        let http = text.find("http {").unwrap_or_default();
        let mut lines = text[http..].split_inclusive('\n');
        let before: usize = lines.by_ref().take_while(|line| !is_glob(line)).map(str::len).sum();
        let (before, after) = text.split_at(http + before);
        fs::write(&main, format!("{before}{own}{after}"))
            .with_context(|| format!("write `{}`", main.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_that_nginx_names_is_found() {
        let told = "nginx: [emerg] a duplicate default server for 0.0.0.0:80 in /etc/nginx/x y:z/own:12 | nginx: configuration file /etc/nginx/nginx.conf test failed";
        assert_eq!(
            place("nginx: [emerg] \"gzip\" directive is duplicate in /etc/nginx/conf.d/a.conf:1"),
            Some(("/etc/nginx/conf.d/a.conf", "1"))
        );
        assert_eq!(place(told), None, "a name with a space is left to the run");
        assert_eq!(place("nginx: [emerg] cannot load certificate"), None);
    }
}
