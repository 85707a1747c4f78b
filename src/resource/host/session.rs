//! The notes of a session: what this process has done on the host, and what it still owes.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::Host;

/// What a service was started with, as it is kept between runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRecord {
    /// The name that it is kept by.
    pub name: String,
    /// Its bytes, in the format of the kind.
    pub bytes: Vec<u8>,
}

/// What was done in this session.
#[derive(Debug, Default)]
pub(super) struct SessionNotes {
    /// Packages that were installed.
    come: RefCell<HashSet<String>>,
    /// Units that were kept from running.
    held: RefCell<HashSet<String>>,
    /// Units that are to be off.
    off: RefCell<HashSet<String>>,
    owes_reload: Cell<bool>,
    /// Secrets that got another value.
    renewed: RefCell<HashSet<String>>,
    /// Start records of services by name.
    starts: RefCell<HashMap<String, Vec<u8>>>,
    /// Secrets that programs could print, the longest first.
    secrets: RefCell<Vec<String>>,
}

/// A shorter secret is also a part of ordinary words.
const SHORTEST_HIDDEN: usize = 4;

impl Host {
    /// Notes that a package is installed and set up, while others may not be yet.
    pub(in crate::resource) fn package_has_come(&self, name: &str) {
        self.session.come.borrow_mut().insert(name.to_owned());
    }

    /// Whether a package has been installed in this session.
    pub fn has_come(&self, package: &str) -> bool {
        self.session.come.borrow().contains(package)
    }

    /// Notes a secret, which [`Host::without_secrets`] leaves out from now on. It may be quoted for a file.
    pub(in crate::resource) fn hide(&self, secret: &str) {
        let mut secrets = self.session.secrets.borrow_mut();
        for form in [secret.trim().to_owned(), secret.trim().replace('\\', "")] {
            if form.len() >= SHORTEST_HIDDEN && !secrets.contains(&form) {
                secrets.push(form);
            }
        }
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// What a program has printed, with `***` for each secret in it.
    #[must_use]
    pub fn without_secrets(&self, text: impl Into<String>) -> String {
        let secrets = self.session.secrets.borrow();
        secrets.iter().fold(text.into(), |text, secret| match text.contains(secret.as_str()) {
            true => text.replace(secret.as_str(), "***"),
            false => text,
        })
    }

    /// Notes that a unit would run by now, had this session not held it back.
    pub(in crate::resource) fn hold_unit(&self, name: &str) {
        self.session.held.borrow_mut().insert(name.to_owned());
    }

    /// Notes that a unit is to be off, whatever its package does.
    pub(in crate::resource) fn want_off(&self, name: &str) {
        self.session.off.borrow_mut().insert(name.to_owned());
    }

    /// Whether a unit is to be off.
    pub(in crate::resource) fn is_to_be_off(&self, name: &str) -> bool {
        self.session.off.borrow().contains(name)
    }

    /// Whether a unit was held back in this session.
    pub(in crate::resource) fn is_held(&self, name: &str) -> bool {
        self.session.held.borrow().contains(name)
    }

    /// Notes whether units were enabled since systemd has last read all of them.
    pub(in crate::resource) fn owe_reload(&self, owed: bool) {
        self.session.owes_reload.set(owed);
    }

    pub(in crate::resource) fn owes_reload(&self) -> bool {
        self.session.owes_reload.get()
    }

    /// Notes that a secret of the host has got another value in this session.
    pub(in crate::resource) fn note_renewed(&self, name: &str) {
        self.session.renewed.borrow_mut().insert(name.to_owned());
    }

    /// Whether a secret of the host has got another value in this session.
    pub(in crate::resource) fn is_renewed(&self, name: &str) -> bool {
        self.session.renewed.borrow().contains(name)
    }

    /// Remembers the start record of a service that somebody else started with what is on disk now.
    pub fn note_start(&self, StartRecord { name, bytes }: StartRecord) {
        self.session.starts.borrow_mut().insert(name, bytes);
    }

    /// Keeps the records of [`Host::note_start`] before anything on disk changes: if the run is
    /// undone, what is on disk has new times of change, and they would say nothing any more.
    pub fn keep_starts(&self) -> Result<()> {
        let starts = self.session.starts.take();
        starts.iter().try_for_each(|(name, record)| self.keep_between_runs(name, record))
    }
}
