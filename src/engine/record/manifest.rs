//! What hwctl has made on this host, with the state from before it first touched each thing.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::engine::protocol::Goal;
use crate::engine::record::format::{self, Format};
use crate::engine::record::journal::{self, Entry};
use crate::engine::record::step::Step;
use crate::resource::{
    Advise, Declared, Host, Id, Place, Resource, Saved, Undo, decode, encode, sweep, write_atomic,
};
use crate::spec::Scope;

/// All of it, oldest first.
#[derive(Debug, Default)]
pub(in crate::engine) struct Manifest {
    owned: Vec<Owned>,
    /// What another version of hwctl has written and this one does not understand; kept for it.
    strange: Vec<ByteBuf>,
}

/// One thing that hwctl has made or changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::engine) struct Owned {
    tag: String,
    resource: Resource,
    original: Saved,
    /// Whether a rollback has brought it back to an earlier state, of which `resource` says nothing.
    #[serde(default)]
    is_restored: bool,
}

impl Manifest {
    /// Reads it, with what a run has made that has not ended.
    pub(in crate::engine) fn load(host: &Host) -> Result<Self> {
        Self::load_naming(host, "")
    }

    /// The same, of those things alone in whose encoding a word occurs, such as the name of a kind. The
    /// others are not decoded: a host with thousands of pages has as many things.
    pub(in crate::engine) fn load_naming(host: &Host, word: &str) -> Result<Self> {
        let word = memmem::Finder::new(word);
        Self::load_where(|bytes| word.find(bytes).is_some(), host)
    }

    /// The same without what is at these paths. Thousands of pages that are as they were need not be decoded.
    pub(in crate::engine) fn load_beside(settled: &HashSet<PathBuf>, host: &Host) -> Result<Self> {
        let is_settled = |path: &Path| settled.contains(path);
        let is_wanted = |bytes: &[u8]| !encoded_path(bytes).is_some_and(is_settled);
        let mut manifest = Self::load_where(is_wanted, host)?;
        manifest.owned.retain(|owned| !owned.resource.path().is_some_and(is_settled));
        Ok(manifest)
    }

    fn load_where(is_wanted: impl Fn(&[u8]) -> bool, host: &Host) -> Result<Self> {
        let mut manifest = Self::read_where(is_wanted, host)?;
        if let Some(run) = journal::open_run(host) {
            manifest.take_in(&journal::known_entries(host, &run)?, false);
        }
        Ok(manifest)
    }

    /// Reads it as it was written last.
    pub(in crate::engine) fn read(host: &Host) -> Result<Self> {
        Self::read_where(|_| true, host)
    }

    fn read_where(is_wanted: impl Fn(&[u8]) -> bool, host: &Host) -> Result<Self> {
        let path = path(host);
        let written: Vec<ByteBuf> = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            bytes => {
                let bytes = bytes.with_context(|| format!("read `{}`", path.display()))?;
                let written = decode(&bytes);
                written
                    .with_context(|| format!("make sense of `{}`", path.display()))
                    .hint("use the hwctl version that wrote it, or restore it from a backup; without the file, hwctl forgets what it made, and `destroy` leaves that on the host")?
            }
        };
        let mut manifest = Self::default();
        for bytes in written.into_iter().filter(|bytes| is_wanted(bytes)) {
            if let Ok(owned) = decode(&bytes) {
                manifest.owned.push(owned);
            } else if let Ok(format) = decode::<Format>(&bytes) {
                format.require_known(format::MANIFEST, &path)?;
            } else {
                manifest.strange.push(bytes);
            }
        }
        Ok(manifest)
    }

    /// Takes in a run that went away before it could end, if there is one, and ends it.
    pub(in crate::engine) async fn end_interrupted_run(host: &Host) -> Result<()> {
        let Some(run) = journal::open_run(host) else { return Ok(()) };
        sweep_after(&journal::entries(host, &run)?, host)?;
        let manifest = Self::load(host)?;
        for owned in &manifest.owned {
            owned.resource.sweep(host).await?;
        }
        manifest.save(host)?;
        journal::end_interrupted(host, &run)
    }

    /// Writes it. The format number is one more element of the array: a version of hwctl that does not know
    /// about it keeps the element with the others that it does not understand.
    pub(in crate::engine) fn save(&self, host: &Host) -> Result<()> {
        let format = encode(&Format { format: format::MANIFEST })?;
        let mut written = vec![ByteBuf::from(format)];
        written.extend_from_slice(&self.strange);
        for owned in &self.owned {
            written.push(ByteBuf::from(encode(owned)?));
        }
        write_atomic(&path(host), &encode(&written)?, 0o600, None)
    }

    /// How many things another version has made that this one does not know.
    pub(in crate::engine) fn strange(&self) -> usize {
        self.strange.len()
    }

    /// What hwctl has made: the part of the stack, and the resource as it was declared last.
    pub(in crate::engine) fn resources(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&str, &Resource)> {
        self.owned.iter().map(|owned| (owned.tag.as_str(), &owned.resource))
    }

    /// Of [`Manifest::resources`] what the host has as it was declared last, unless somebody changed it.
    pub(in crate::engine) fn as_declared(&self) -> impl Iterator<Item = (&str, &Resource)> {
        let declared = self.owned.iter().filter(|owned| !owned.is_restored);
        declared.map(|owned| (owned.tag.as_str(), &owned.resource))
    }

    /// Takes in what a run has done; what it has brought back to its original state is hwctl's no
    /// more, if the run `is_whole`.
    pub(in crate::engine) fn take_in(&mut self, entries: &[Entry], is_whole: bool) {
        let mut known: Vec<Option<Owned>> = self.owned.drain(..).map(Some).collect();
        let mut places = Places::default();
        for (place, owned) in known.iter().flatten().enumerate() {
            places.add(&owned.resource, place);
        }
        for entry in entries {
            let place = places.find(&entry.resource);
            let owned = place.and_then(|place| known[place].as_mut());
            let original = owned.as_ref().map(|owned| &owned.original);
            if is_whole && entry.to.is_some() && entry.to.as_ref() == original {
                if let Some(place) = place {
                    known[place] = None;
                }
                continue;
            }
            if let Some(owned) = owned {
                owned.tag.clone_from(&entry.tag);
                owned.resource = entry.resource.clone();
                owned.is_restored = entry.to.is_some();
                continue;
            }
            places.add(&entry.resource, known.len());
            known.push(Some(Owned {
                tag: entry.tag.clone(),
                resource: entry.resource.clone(),
                original: entry.before.clone(),
                is_restored: entry.to.is_some(),
            }));
        }
        self.owned = known.into_iter().flatten().collect();
    }

    /// Takes in what is left of a run that was undone, such as packages.
    pub(in crate::engine) fn take_in_left(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| entry.change.not_undone.is_some()) {
            self.take_in(std::slice::from_ref(entry), false);
        }
    }

    /// Takes over how things are declared now, also those that need no change: what the host does
    /// alone follows the last inventory. Returns whether anything differs.
    pub(in crate::engine) fn declare(&mut self, goal: &Goal) -> bool {
        let Goal::Declared { resources, scope, .. } = goal else { return false };
        let mut differs = false;
        let places: HashMap<Id, usize> =
            self.owned.iter().enumerate().map(|(place, o)| (o.resource.id(), place)).collect();
        for Declared { tag, resource, .. } in resources.iter().filter(|d| scope.means(d)) {
            // A part alone declares only the packages that it needs.
            if resource.profile().undo == Undo::Packages && !scope.has(tag) {
                continue;
            }
            let place = places.get(&resource.id());
            let Some(owned) = place.and_then(|place| self.owned.get_mut(*place)) else { continue };
            // Without the passwords that it may hold.
            let resource = resource.for_journal();
            if owned.resource != resource || owned.tag != *tag || owned.is_restored {
                differs = true;
                owned.is_restored = false;
                owned.tag.clone_from(tag);
                owned.resource = resource;
            }
        }
        differs
    }

    /// Takes things out that are hwctl's no more.
    pub(in crate::engine) fn forget(&mut self, ids: &[Id]) {
        let ids: HashSet<&Id> = ids.iter().collect();
        self.owned.retain(|owned| !ids.contains(&owned.resource.id()));
    }

    /// The way back to before hwctl came, newest first.
    pub(in crate::engine) fn originals(&self) -> Vec<Step> {
        self.owned.iter().rev().map(Owned::step).collect()
    }

    /// What gives way to something of another type that is declared in its place, newest first: a page to
    /// a folder, or a folder with what is in it to a page. It is removed. What was there before hwctl
    /// came is kept for `destroy`.
    pub(in crate::engine) fn giving_way(&self, declared: &[Declared], scope: &Scope) -> Vec<Step> {
        let is_folder = |resource: &Resource| resource.profile().place.is_folder();
        let wanted = declared.iter().filter(|d| scope.means(d)).map(|d| &d.resource);
        let wanted: HashMap<&Path, bool> =
            wanted.filter_map(|wanted| Some((wanted.path()?, is_folder(wanted)))).collect();
        let gives_way = |owned: &&Owned| {
            let Some(path) = owned.resource.path() else { return false };
            match wanted.get(path) {
                Some(folder) => *folder != is_folder(&owned.resource),
                None => path.ancestors().any(|above| wanted.get(above) == Some(&false)),
            }
        };
        let meant = self.owned.iter().rev().filter(|owned| scope.has(&owned.tag));
        let meant = meant.filter(gives_way);
        let step =
            |owned: &Owned| Some(Step { to: Some(owned.resource.nothing()?), ..owned.step() });
        meant.filter_map(step).collect()
    }

    /// The way back for what is no longer declared in the parts that `scope` means. Of a
    /// program's versions the one before the declared one stays, for a rollback.
    pub(in crate::engine) fn removals(&self, declared: &[Declared], scope: &Scope) -> Vec<Step> {
        let ids: HashSet<Id> = declared.iter().map(|d| d.resource.id()).collect();
        let paths = || declared.iter().filter_map(|d| d.resource.path());
        // A folder that something declared is in stays, such as one that was made on the way to it.
        let in_use: HashSet<&Path> = paths().flat_map(Path::ancestors).collect();
        let declared_paths: HashSet<&Path> = paths().collect();
        let declared_series: HashSet<&str> =
            declared.iter().filter_map(|d| d.resource.series()).collect();
        let (mut kept_series, mut removed_series) = (declared_series.clone(), HashSet::new());
        let mut removals = Vec::new();
        for owned in self.owned.iter().rev() {
            let Owned { tag, resource, .. } = owned;
            let is_in_use = match resource.profile().place {
                Place::Nowhere => false,
                Place::Folder(path) => in_use.contains(path),
                Place::Leaf(path) | Place::Vacant(path) | Place::Bundle(path) => {
                    declared_paths.contains(path)
                }
            };
            if !scope.has(tag) || ids.contains(&resource.id()) || is_in_use {
                continue;
            }
            let series = resource.series();
            // The first that is met is the newest.
            if series.is_some_and(|series| kept_series.remove(series)) {
                continue;
            }
            // Where the whole series goes, its newest version is kept for the way back.
            let is_surplus = series.is_some_and(|series| {
                declared_series.contains(series) || !removed_series.insert(series.to_owned())
            });
            removals.push(Step { is_surplus, ..owned.step() });
        }
        removals
    }
}

/// Where things are among those that are known, by their names; files and links by their paths as well,
/// since one that replaces the other has the state from before both.
#[derive(Default)]
struct Places {
    by_id: HashMap<Id, usize>,
    by_path: HashMap<PathBuf, usize>,
}

impl Places {
    fn add(&mut self, resource: &Resource, place: usize) {
        self.by_id.entry(resource.id()).or_insert(place);
        if let Some(path) = path_of_file(resource) {
            self.by_path.entry(path.to_owned()).or_insert(place);
        }
    }

    fn find(&self, resource: &Resource) -> Option<usize> {
        let by_path = || self.by_path.get(path_of_file(resource)?);
        self.by_id.get(&resource.id()).or_else(by_path).copied()
    }
}

fn path_of_file(resource: &Resource) -> Option<&Path> {
    match resource.profile().place {
        Place::Leaf(path) | Place::Vacant(path) => Some(path),
        Place::Nowhere | Place::Folder(_) | Place::Bundle(_) => None,
    }
}

impl Owned {
    fn step(&self) -> Step {
        Step {
            tag: self.tag.clone(),
            resource: self.resource.clone(),
            to: Some(self.original.clone()),
            is_surplus: false,
        }
    }
}

/// The path of a file or folder in the encoding of an [`Owned`], where that begins as [`encode`] writes it:
/// `{ "tag": …, "resource": { "File": { "path": …`. None for everything else, which has to be decoded.
fn encoded_path(bytes: &[u8]) -> Option<&Path> {
    const RESOURCE: &[u8] = b"\xa8resource\x81";
    const KINDS: [&[u8]; 2] = [b"\xa4File", b"\xa9Directory"];
    const PATH: &[u8] = b"\xa4path";
    // A tag is text, in which no such byte begins a character.
    let rest = &bytes[memmem::find(bytes, RESOURCE)? + RESOURCE.len()..];
    let rest = KINDS.into_iter().find_map(|kind| rest.strip_prefix(kind))?;
    // The number of fields, of which the path is the first.
    let [0x80..=0x8f, rest @ ..] = rest else { return None };
    let (length, rest) = match rest.strip_prefix(PATH)? {
        [short @ 0xa0..=0xbf, rest @ ..] => (usize::from(short & 0x1f), rest),
        [0xd9, length, rest @ ..] => (usize::from(*length), rest),
        [0xda, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    Some(Path::new(str::from_utf8(rest.get(..length)?).ok()?))
}

/// Removes the files that a run which was killed has begun and not finished.
fn sweep_after(entries: &[Entry], host: &Host) -> Result<()> {
    let own = host.state_dir();
    let inner = fs::read_dir(&own).into_iter().flatten().flatten().map(|found| found.path());
    let runs = fs::read_dir(own.join("runs")).into_iter().flatten().flatten();
    let touched = entries.iter().filter_map(|entry| Some(host.path(entry.resource.path()?)));
    let touched = touched.filter_map(|path| Some(path.parent()?.to_owned()));
    let units = host.path(Path::new("/etc/systemd/system"));
    let mut folders: Vec<_> = inner.chain(runs.map(|found| found.path())).chain(touched).collect();
    folders.extend([own, units]);
    folders.sort();
    folders.dedup();
    folders.iter().try_for_each(|folder| sweep(folder))
}

fn path(host: &Host) -> PathBuf {
    host.state_dir().join("manifest")
}

#[cfg(test)]
mod tests;
