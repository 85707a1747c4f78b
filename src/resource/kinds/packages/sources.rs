//! apt's sources that do not answer. apt gives up all of an update for one of them, so they are named before
//! anything begins.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use super::apt::apt_command;
use crate::resource::host::Host;
use crate::resource::model::hint::Advise;

/// Asks the sources for their newest state and takes none of their lists. Hooks of others do not run.
const CONFIGURATION: &str = r#"#clear Acquire::IndexTargets;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Retries "0";
Acquire::http::Timeout "5";
Acquire::https::Timeout "5";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"#;

/// A source that does not answer as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Silent {
    /// Such as `https://deb.example.org/apt trixie`.
    source: String,
    why: String,
}

/// What was heard of all sources.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    silent: Vec<Silent>,
    /// How many answered.
    answered: usize,
}

impl Heard {
    /// Asks all sources, unless the host was asked already.
    pub(super) async fn of(host: &Host) -> Result<Self> {
        let told = host.once("apt sources", async || ask(host).await).await?;
        Ok(Self::read(&told))
    }

    /// Reads lines such as `Err:2 http://deb.example.org trixie InRelease`, with the reason in the next one.
    fn read(told: &str) -> Self {
        let mut heard = Self::default();
        let mut lines = told.lines().peekable();
        while let Some(line) = lines.next() {
            let mut words = line.split_whitespace();
            let kind = words.next().unwrap_or_default().split(':').next().unwrap_or_default();
            let source = words.take(2).collect::<Vec<_>>().join(" ");
            match kind {
                "Hit" | "Get" => heard.answered += 1,
                "Err" => {
                    let why = lines.next_if(|next| next.starts_with(' ')).unwrap_or("no answer");
                    let silent = Silent { source, why: why.trim().to_owned() };
                    if !heard.silent.iter().any(|known| known.source == silent.source) {
                        heard.silent.push(silent);
                    }
                }
                _ => {}
            }
        }
        heard
    }

    /// Refuses a host none of whose sources answers.
    pub(super) fn require_any(&self) -> Result<()> {
        let Some(first) = self.silent.first().filter(|_| self.answered == 0) else { return Ok(()) };
        Err(anyhow!("{}", first.why))
            .context(format!("no source of apt answers the host, `{}` among them", first.source))
            .hint("mend the host's network or its sources (`apt-get update` on the host says the same)")
    }

    /// Names the sources that do not answer.
    pub(super) fn concern(&self) -> Option<String> {
        let named: Vec<_> = self
            .silent
            .iter()
            .map(|silent| format!("`{}` ({})", silent.source, silent.why))
            .collect();
        (!named.is_empty()).then(|| {
            format!(
                "these apt sources do not answer, so the run goes on without them: {}",
                named.join(", ")
            )
        })
    }
}

async fn ask(host: &Host) -> Result<String> {
    let folder = tempfile::Builder::new()
        .prefix("hwctl-apt-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in(host.path(Path::new("/run")))
        .context("make a folder to ask apt's sources in")?;
    let lists = folder.path().join("lists");
    fs::create_dir(&lists)?;
    let configuration = folder.path().join("apt.conf");
    let own = format!("Dir::State::Lists \"{}\";\n", lists.display());
    fs::write(&configuration, format!("{CONFIGURATION}{own}"))?;
    let mut update = apt_command(host, "apt-get");
    let output = update.arg("-q").arg("-c").arg(&configuration).arg("update").output().await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_does_not_answer_is_named_with_its_reason() {
        let told = "Hit:1 http://archive.example.org/debian trixie InRelease\n\
                    Err:2 http://dead.invalid/apt stable InRelease\n  \
                    Could not resolve 'dead.invalid'\n\
                    Ign:3 http://gone.example.org/apt ./ InRelease\n\
                    Err:4 http://gone.example.org/apt ./ Release\n  404  Not Found\n\
                    Reading package lists...\n";

        let heard = Heard::read(told);

        let concern = heard.concern().unwrap();
        assert!(
            concern.contains("`http://dead.invalid/apt stable` (Could not resolve 'dead.invalid')")
        );
        assert!(concern.contains("`http://gone.example.org/apt ./` (404  Not Found)"), "{concern}");
        assert!(heard.require_any().is_ok());
        let alone = told.lines().skip(1).collect::<Vec<_>>().join("\n");
        let error = Heard::read(&alone).require_any().unwrap_err();
        assert!(format!("{error:#}").contains("dead.invalid"), "{error:#}");
        assert_eq!(Heard::read("").require_any().ok(), Some(()));
    }
}
