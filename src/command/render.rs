//! `hwctl render`: the files of the stack as they would be on a host, secrets by their names.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cli::RenderArgs;
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{self, Ended, Job, Show};
use crate::command::provision::{load_templates, make_stack};
use crate::event::{EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::{Kinds, Monitoring, Redis};
use crate::remote::{Emit, Engine};

/// Runs `hwctl render`.
pub fn run(kinds: Kinds, args: RenderArgs) -> Result<Exit> {
    let hosts = args.hosts.clone();
    fleet::run(kinds, &hosts, Show { json: args.json, diff: false, check: false }, args)
}

impl Job for RenderArgs {
    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let templates = load_templates(work)?;
        let engine = Engine::start(&work.target, emit).await?;
        // The image is no file of the stack, so its archive need not be there.
        let mut work = work.clone();
        let redis = work.vars.get::<Redis>().clone();
        work.vars.set(Redis { image_archive: None, ..redis });
        let monitoring = work.vars.get::<Monitoring>().without_archives();
        work.vars.set(monitoring);
        let made = make_stack(&work, &engine, &templates)?;
        engine.hang_up().await;
        let mut files = made.render();
        if !self.paths.is_empty() {
            files.retain(|file| self.paths.iter().any(|path| file.path.starts_with(path)));
        }
        if files.is_empty() {
            return Err(Failure::usage("the stack has no such file")
                .hint("`hwctl render` without a path shows all"));
        }
        for file in files {
            if let Some(folder) = &self.to {
                write(&folder.join(&work.target.name), &file.path, file.text.as_deref())?;
            }
            let text = file.text.filter(|_| self.to.is_none() || self.json);
            emit(EventKind::Rendered { path: file.path, text });
        }
        Ok(Outcome::Answered.into())
    }
}

/// Bytes that are not shown are not written either.
fn write(root: &Path, path: &Path, text: Option<&str>) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    let path = root.join(path.strip_prefix("/").unwrap_or(path));
    let folder = path.parent().context("a file's folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make `{}`", folder.display()))?;
    std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
}
