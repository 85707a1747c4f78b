//! Carries a plan out: the changes are made, the host is checked from outside, and the run is kept or
//! undone.

use std::collections::HashMap;
use std::path::PathBuf;

use super::outside::{check_after, check_before};
use super::{PlannedRun, Settings};
use crate::command::run::vantage::Vantage;
use crate::failure::{Exit, Failure, Page};
use crate::remote::{Emit, Engine};
use crate::resource::Blob;

impl PlannedRun<'_> {
    /// Carries the plan out and keeps the run, if there is something to do. A host that is not as it
    /// should be from outside is brought back to the state before.
    pub(in crate::command) async fn carry_out(
        self,
        engine: &mut Engine,
        emit: Emit<'_>,
    ) -> Result<(), Failure> {
        if !self.is_due() {
            return Ok(());
        }
        let Self { planned, settings, .. } = self;
        let uploads = settings.uploads_of(planned.wants)?;
        let (before, wrong_before) = match settings.outside {
            Some(outside) => check_before(engine, outside, settings.is_part, emit).await,
            None => (None, Vec::new()),
        };
        let pins = engine.apply(planned.fingerprint, &uploads, emit).await?;
        let Some(outside) = settings.outside else { return engine.keep(emit).await };
        // What cannot be told of others fails no run.
        let exposure = engine.exposure(emit).await.unwrap_or_default();
        let expected = outside(&engine.facts, &exposure, Some(pins.clone()));
        // A run of a part may come before the one that makes the host serve.
        if !pins.recognize_any(&expected.endpoints) {
            return engine.keep(emit).await;
        }
        let vantage = match before {
            // Ports that this run has shut are its fault.
            Some(before) if before.is_open() => Vantage::as_client(engine).await,
            _ => Vantage::find(engine, &expected.endpoints).await,
        };
        let wrong = check_after(&vantage, &expected, &wrong_before, emit).await;
        match wrong.is_empty() {
            true => engine.keep(emit).await,
            false => Err(settings.give_up(wrong, engine, emit).await?),
        }
    }
}

impl Settings<'_> {
    /// The local files of what the host asks for.
    fn uploads_of(&self, wants: Vec<Blob>) -> Result<Vec<(Blob, PathBuf)>, Failure> {
        let ours = self.uploads.iter().map(|upload| (&upload.blob, &upload.path));
        let ours: HashMap<&Blob, &PathBuf> = ours.collect();
        let path = |blob: Blob| {
            let path = ours.get(&blob).ok_or_else(|| {
                let what = format!("the host asks for `{}`, which is not ours", blob.key);
                Failure::new(Exit::Failed, what)
            })?;
            Ok((blob, (*path).clone()))
        };
        wants.into_iter().map(path).collect()
    }

    /// Ends a run after which the host is wrong from outside: it is undone, unless the operator wants to
    /// look at it. Returns what the run fails with.
    async fn give_up(
        &self,
        wrong: Vec<String>,
        engine: &mut Engine,
        emit: Emit<'_>,
    ) -> Result<Failure, Failure> {
        let (what, hint) = self.failure;
        let mut failure = Failure::new(Exit::Undone, what).hint(hint);
        failure.why = wrong;
        let why = failure.what.clone();
        if self.keep_on_failure {
            engine.leave(&why, emit).await?;
            let failure = Failure { exit: Exit::Failed, ..failure };
            return Ok(failure
                .not_done("the run was not undone (`--keep-on-failure`)")
                .hint("`hwctl rollback` takes it back")
                .page(Page::Undo));
        }
        let left = engine.undo(&why, emit).await?;
        Ok(left.into_iter().fold(failure, Failure::why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::Upload;

    fn blob(key: &str) -> Blob {
        Blob { key: key.to_owned(), size: 1 }
    }

    #[test]
    fn a_host_gets_the_files_of_its_stack_and_no_others() {
        let uploads = [Upload { blob: blob("page"), path: "/site/page".into() }];
        let settings = Settings { uploads: uploads.to_vec(), ..Settings::default() };

        let wanted = settings.uploads_of(vec![blob("page")]).unwrap();
        let failure = settings.uploads_of(vec![blob("page"), blob("other")]).unwrap_err();

        assert_eq!(wanted, [(blob("page"), PathBuf::from("/site/page"))]);
        assert_eq!(failure.what, "the host asks for `other`, which is not ours");
    }
}
