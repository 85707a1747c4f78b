//! What every kind of resource can do, and what a look at one gives.

use std::time::SystemTime;

use anyhow::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::resource::host::accounts::Accounts;
use crate::resource::host::{Host, MemoEntry, StartRecord};
use crate::resource::model::change::{Back, Change};
use crate::resource::model::digest::sha256;
use crate::resource::model::id::Id;
use crate::resource::model::profile::Profile;
use crate::resource::model::saved::{Saved, encode};

/// What every kind of resource can do.
///
/// The law that each kind's tests hold: after `apply`, `read` then `diff` finds no change; after
/// `undo`, `read` gives the state that was before.
pub(crate) trait Kind: Sized {
    /// What the host has for such a resource now. Kept in the journal, so that `undo` can use it.
    type State: Serialize + DeserializeOwned;

    /// The first word of every id of this kind, such as `file`.
    const WORD: &'static str;

    /// The resource's name.
    fn id(&self) -> Id;

    /// A resource of this name that can be read but not made. Returns None where the name alone does not
    /// lead to the state.
    fn named(name: &str) -> Option<Self>;

    /// What the engine asks of every resource.
    fn profile(&self) -> Profile<'_>;

    /// The resource as the journal and the manifest keep it: what an undo needs, and no password.
    fn for_journal(&self) -> Self;

    /// Reads what the host has. Changes nothing. Absent is a state; unreadable is an error.
    async fn read(&self, host: &Host) -> Result<Self::State>;

    /// The digest of a resource that is as it should be, where a look shows that without reading
    /// all of it; none where it has to be read.
    fn as_declared(&self, _host: &Host) -> Result<Option<String>> {
        Ok(None)
    }

    /// Refuses a plan for what lies beyond the resource itself, such as another program on its port or a
    /// registry that cannot be reached.
    async fn require(&self, _state: &Self::State, _host: &Host) -> Result<()> {
        Ok(())
    }

    /// The resources that have to be compared before this one: those that it reads.
    fn depends_on(&self) -> Vec<Id> {
        self.profile().inputs.to_vec()
    }

    /// What has to change, if anything. Writes to nothing: what the plan leaves of other resources is in
    /// the memo of the plan, which the planner alone writes.
    fn diff(&self, state: &Self::State, host: &Host) -> Result<Option<Change>>;

    /// What of others is in it and stays.
    fn stays(&self, _state: &Self::State) -> Result<Option<String>> {
        Ok(None)
    }

    /// Something about the state that the operator should know, whether or not it changes.
    async fn concern(&self, _state: &Self::State, _host: &Host) -> Option<String> {
        None
    }

    /// A digest of the content that the resource has once the plan is applied, for the units and
    /// containers that are started with it; `None` when it has none or it is not known yet.
    fn digest(&self, _state: &Self::State, _host: &Host) -> Option<String> {
        None
    }

    /// The same of what the host has now: for those that were started with it, and for those that are
    /// started with it while a plan passes this resource over. A kind whose [`Kind::digest`] does not
    /// depend on the state has to say it.
    fn digest_now(&self, state: &Self::State, host: &Host) -> Option<String> {
        self.digest(state, host)
    }

    /// The record that is kept of a service which somebody else has started with what is on disk now.
    fn start_record(&self, _state: &Self::State, _host: &Host) -> Option<StartRecord> {
        None
    }

    /// When what the resource has on disk last changed.
    fn changed_at(&self, _host: &Host) -> Option<SystemTime> {
        None
    }

    /// The users and groups that have to be on the host.
    fn accounts(&self) -> Accounts {
        Accounts::default()
    }

    /// The name of the user and group that it makes.
    fn makes_account(&self) -> Option<&str> {
        None
    }

    /// Says what will be read, so that reads can be done together.
    fn expect(&self, _host: &Host) {}

    /// Brings the host from `state` to the desired state.
    async fn apply(&self, state: &Self::State, host: &Host) -> Result<()>;

    /// Waits while something else on the host works on what `apply` changes.
    async fn wait_for_others(&self, host: &Host) -> Result<()>;

    /// Begins a change that goes on beside others. No other change is made meanwhile. `launch` and
    /// [`Kind::finish`] together do what `apply` does.
    async fn launch(&self, state: &Self::State, host: &Host) -> Result<()>;

    /// Finishes a change that [`Kind::launch`] has begun, beside others.
    async fn finish(&self, state: &Self::State, host: &Host) -> Result<()>;

    /// Removes what a run that was cut off has left beside the resource, such as a second one on trial.
    async fn sweep(&self, host: &Host) -> Result<()>;

    /// The first of two steps in which a service is taken back: stops one that did not run before, so that
    /// what it reads can be taken away.
    async fn release(&self, before: &Self::State, host: &Host) -> Result<()>;

    /// Takes an `apply` back, after a run that failed: brings the host to the state `before`.
    async fn undo(&self, before: &Self::State, host: &Host) -> Result<()>;

    /// What has to change to bring the host from `now` back to the state `to`: the plan of
    /// [`Kind::restore`]. Writes to nothing, as [`Kind::diff`].
    async fn diff_back(&self, now: &Self::State, to: &Self::State, host: &Host) -> Result<Back>;

    /// Brings the host back to the state `to` for good: a rollback, a removal.
    async fn restore(&self, to: &Self::State, host: &Host) -> Result<()> {
        self.undo(to, host).await
    }
}

/// What reading a resource found.
#[derive(Clone, Debug)]
pub struct Examined {
    /// What the host has.
    pub before: Saved,
    /// What has to change.
    pub change: Option<Change>,
    /// See [`Kind::digest`].
    pub digest: Option<String>,
    /// See [`Kind::changed_at`].
    pub changed_at: Option<SystemTime>,
}

pub(in crate::resource) async fn examine<K: Kind>(kind: &K, host: &Host) -> Result<Examined> {
    let state = kind.read(host).await?;
    Ok(Examined {
        change: kind.diff(&state, host)?,
        digest: kind.digest(&state, host),
        changed_at: kind.changed_at(host),
        before: Saved::of(&state)?,
    })
}

/// What a plan needs of a resource: not the state itself, which may be long.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// What has to change.
    pub change: Option<Change>,
    /// Of the state that is changed; empty where none is.
    pub fingerprint: String,
    /// See [`Kind::stays`].
    pub stays: Option<String>,
    /// See [`Kind::concern`].
    pub concern: Option<String>,
    /// See [`Kind::digest`].
    pub digest: Option<String>,
    /// See [`Kind::digest_now`]; only where something has to change.
    pub before: Option<String>,
    /// See [`Kind::changed_at`].
    pub changed_at: Option<SystemTime>,
    /// See [`Kind::start_record`].
    pub start_record: Option<StartRecord>,
}

/// A state that was read and has yet to be compared: reads can be done together, while what one
/// resource changes can be a reason for the next.
pub type Reading<'a> = Box<dyn FnOnce(&Host) -> Result<Weighed> + 'a>;

pub(in crate::resource) async fn read<'a, K: Kind>(
    kind: &'a K,
    host: &Host,
) -> Result<Reading<'a>> {
    if let digest @ Some(_) = kind.as_declared(host)? {
        return Ok(Box::new(|host| {
            let changed_at = kind.changed_at(host);
            Ok(Weighed {
                change: None,
                fingerprint: String::new(),
                stays: None,
                concern: None,
                digest,
                before: None,
                changed_at,
                start_record: None,
            })
        }));
    }
    let state = kind.read(host).await?;
    kind.require(&state, host).await?;
    let concern = kind.concern(&state, host).await;
    Ok(Box::new(move |host| weigh(kind, &state, concern, host)))
}

/// Compares a state that was read with the declared one.
pub(in crate::resource) fn weigh<K: Kind>(
    kind: &K,
    state: &K::State,
    concern: Option<String>,
    host: &Host,
) -> Result<Weighed> {
    let change = kind.diff(state, host)?;
    let fingerprint = match change {
        Some(_) => sha256(&encode(state)?),
        None => String::new(),
    };
    Ok(Weighed {
        before: change.as_ref().and_then(|_| kind.digest_now(state, host)),
        change,
        fingerprint,
        stays: kind.stays(state)?,
        concern,
        digest: kind.digest(state, host),
        changed_at: kind.changed_at(host),
        start_record: kind.start_record(state, host),
    })
}

pub(in crate::resource) async fn pass_over<K: Kind>(kind: &K, host: &Host) -> Result<MemoEntry> {
    let digest = kind.digest_now(&kind.read(host).await?, host);
    Ok(MemoEntry { changed: false, digest, before: None, changed_at: kind.changed_at(host) })
}

pub(in crate::resource) async fn examine_back<K: Kind>(
    kind: &K,
    to: &Saved,
    host: &Host,
) -> Result<(Saved, Back)> {
    let now = kind.read(host).await?;
    let back = kind.diff_back(&now, &to.state()?, host).await?;
    Ok((Saved::of(&now)?, back))
}
