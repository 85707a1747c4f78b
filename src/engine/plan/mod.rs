//! Reads every resource and says what has to change.

mod accounts;
pub(super) mod disk_space;
pub(super) mod goal;
mod handover;
pub(super) mod left_out;
pub(super) mod order;
pub(super) mod renewal;
pub(super) mod seal;
pub(super) mod way_back;

use std::cmp::Reverse;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow};
use futures_util::future::join_all;

use crate::engine::driver::trial::Trial;
use crate::engine::record::step::Step;
use crate::event::Planned;
use crate::failure::{Exit, Failure, Page};
use crate::resource::{
    Action, Back, Blob, Change, Declared, Hint, Host, Id, MemoEntry, Pace, Place, Profile,
    Resource, Saved, Undo, Weighed, compare, read_units, sha256,
};

/// What a plan has to look at.
#[derive(Debug)]
pub(in crate::engine) struct Wanted {
    /// In the order in which it is made.
    pub(in crate::engine) declared: Vec<Step>,
    /// What those are started with of parts of the stack that are passed over: read, not changed.
    pub(in crate::engine) passed_over: Vec<Resource>,
    /// What is removed before something of another type is made in its place, newest first.
    pub(in crate::engine) giving_way: Vec<Step>,
    /// What is brought back to an earlier state, newest first.
    pub(in crate::engine) removals: Vec<Step>,
    /// What hwctl has made in parts that are not meant, and what that is started with.
    pub(in crate::engine) left_out: Vec<Declared>,
    /// The parts that are asked for by name, and that the host neither has nor had.
    pub(in crate::engine) lacking: Vec<String>,
    /// Why that is.
    pub(in crate::engine) because: Option<&'static str>,
    /// What cannot be brought back to its earlier state, and why.
    pub(in crate::engine) kept: Vec<(Id, String)>,
    /// For a rollback, the first run that it takes back.
    pub(in crate::engine) back_to: Option<String>,
    /// Whether data is removed too.
    pub(in crate::engine) purge_data: bool,
    /// How many things in the manifest another version made and this one does not know.
    pub(in crate::engine) strange: usize,
}

impl Wanted {
    /// What is declared, all of it.
    pub(in crate::engine) fn declared_only(declared: Vec<Step>) -> Self {
        Self {
            declared,
            passed_over: Vec::new(),
            giving_way: Vec::new(),
            removals: Vec::new(),
            left_out: Vec::new(),
            lacking: Vec::new(),
            because: None,
            kept: Vec::new(),
            back_to: None,
            purge_data: false,
            strange: 0,
        }
    }
}

/// A plan and what it was made from.
#[derive(Debug)]
pub(in crate::engine) struct Plan {
    /// The changes, in order.
    pub(in crate::engine) changes: Vec<Planned>,
    /// Each change's step.
    pub(in crate::engine) steps: Vec<Step>,
    /// What stays where hwctl's own is taken away, and why.
    pub(in crate::engine) kept: Vec<(Id, String)>,
    /// What is in its earlier state already or belongs to others now.
    pub(in crate::engine) settled: Vec<Id>,
    /// Of the state that it was made from.
    pub(in crate::engine) fingerprint: String,
    /// Blobs that the changes need.
    pub(in crate::engine) blobs: Vec<Blob>,
}

impl Plan {
    /// Examines all of `wanted`. Every obstacle is found, not only the first.
    pub(in crate::engine) async fn make(wanted: &Wanted, host: &Host) -> Result<Self, Failure> {
        host.begin_plan();
        for step in wanted.declared.iter().chain(&wanted.removals) {
            step.resource.expect(host);
        }
        let mut maker =
            Maker { host, wanted, plan: Self::empty(), states: String::new(), obstacles: vec![] };
        // Most of them wait: for systemd, docker, iptables.
        let passed_over = join_all(wanted.passed_over.iter().map(|other| other.pass_over(host)));
        let declared = join_all(wanted.declared.iter().map(|step| step.resource.read(host)));
        let ((), passed_over, declared) = tokio::join!(read_units(host), passed_over, declared);
        for (resource, found) in wanted.passed_over.iter().zip(passed_over) {
            maker.passed_over(resource, found);
        }
        // Once it has given way, what is there is what is declared.
        let giving_way = wanted.giving_way.iter().filter(|step| step.resource.is_at_its_path(host));
        let giving_way: Vec<&Step> = giving_way.collect();
        let compared = maker.compare_back(&giving_way).await;
        for (step, compared) in giving_way.into_iter().zip(compared) {
            maker.give_way(step, compared);
        }
        let resources = wanted.declared.iter().map(|step| &step.resource);
        let compared = compare(resources.zip(declared).collect(), host);
        for (step, weighed) in wanted.declared.iter().zip(compared) {
            maker.declared(step, weighed);
        }
        // Units come after what they read, and packages after what others might use of them.
        let mut removals: Vec<&Step> = wanted.removals.iter().collect();
        removals.sort_by_key(|step| rank(step));
        handover::put_last(&mut removals);
        let first = maker.plan.steps.len();
        let compared = maker.compare_back(&removals).await;
        for (step, compared) in removals.into_iter().zip(compared) {
            maker.back(step, wanted.because, compared);
        }
        maker.plan.kept.extend(wanted.kept.iter().cloned());
        let Maker { mut plan, states, mut obstacles, .. } = maker;
        let lacking = accounts::missing(&plan, wanted, host).await.into_iter();
        obstacles.extend(lacking.map(|(resource, error)| obstacle(resource, error)));
        if let Some(failure) = joined(obstacles) {
            return Err(failure);
        }
        plan.packages_first(first);
        plan.fingerprint = sha256(states.as_bytes());
        Ok(plan)
    }

    fn empty() -> Self {
        Self {
            changes: vec![],
            steps: vec![],
            kept: vec![],
            settled: vec![],
            fingerprint: String::new(),
            blobs: vec![],
        }
    }

    /// Whether the configuration of a service changes, or the service starts with the one that is there.
    pub(in crate::engine) fn has_configuration_read(&self, trial: &dyn Trial) -> bool {
        self.steps.iter().zip(&self.changes).any(|(step, planned)| {
            trial.covers(&step.resource)
                || trial.is_unit(&step.resource) && planned.change.action != Action::Stop
        })
    }

    /// Whether packages are taken away.
    pub(in crate::engine) fn removes_packages(&self) -> bool {
        self.steps.iter().zip(&self.changes).any(|(step, planned)| {
            step.resource.profile().pace == Pace::Install && planned.change.action == Action::Remove
        })
    }

    fn push(&mut self, step: &Step, change: Change) {
        self.changes.push(Planned { tag: step.tag.clone(), change });
        self.steps.push(step.clone());
    }

    /// Packages that are installed again come before all that needs them.
    fn packages_first(&mut self, first: usize) {
        let is_install = |step: &Step, planned: &Planned| {
            step.resource.profile().pace == Pace::Install && planned.change.action == Action::Create
        };
        let found =
            (first..self.steps.len()).find(|at| is_install(&self.steps[*at], &self.changes[*at]));
        if let Some(at) = found {
            self.steps[first..=at].rotate_right(1);
            self.changes[first..=at].rotate_right(1);
        }
    }
}

/// A plan while it is made.
struct Maker<'a> {
    host: &'a Host,
    wanted: &'a Wanted,
    plan: Plan,
    states: String,
    obstacles: Vec<Failure>,
}

impl Maker<'_> {
    /// Leaves a resource as it is, for those that are started with it.
    fn passed_over(&mut self, resource: &Resource, found: Result<MemoEntry>) {
        match found {
            Ok(found) => {
                self.note_state(resource, found.digest.as_deref().unwrap_or_default());
                self.host.record(resource.id(), found);
            }
            Err(error) => self.obstacle(resource, error),
        }
    }

    /// Brings a resource to what it declares.
    fn declared(&mut self, step: &Step, weighed: Result<Weighed>) {
        let resource = &step.resource;
        let Weighed { change, fingerprint, stays, concern, start_record, .. } = match weighed {
            Ok(weighed) => weighed,
            Err(error) => return self.obstacle(resource, error),
        };
        self.plan.kept.extend(concern.map(|concern| (resource.id(), concern)));
        self.note_state(resource, &fingerprint);
        if let Some(record) = start_record {
            self.host.note_start(record);
        }
        if let Some(change) = change {
            if let Err(error) = resource.require_mutable(self.host) {
                return self.obstacle(resource, error);
            }
            self.plan.kept.extend(stays.map(|stays| (resource.id(), stays)));
            self.plan.blobs.extend(resource.blob().cloned());
            self.plan.push(step, change);
        }
    }

    /// Compares what the host has with the earlier states that the steps go back to, and keeps what the plan
    /// leaves of each. The results are in the order of `steps`, which decides nothing else.
    async fn compare_back(&self, steps: &[&Step]) -> Vec<Result<(Saved, Back)>> {
        let depth = |step: &Step| step.resource.path().map_or(0, |path| path.components().count());
        let mut order: Vec<usize> = (0..steps.len()).collect();
        // A folder comes after all that the plan removes from it.
        order.sort_by_key(|place| (rank(steps[*place]), Reverse(depth(steps[*place]))));
        let mut compared = Vec::with_capacity(order.len());
        for place in order {
            compared.push((place, self.examine_back(steps[place]).await));
        }
        compared.sort_by_key(|(place, _)| *place);
        compared.into_iter().map(|(_, found)| found).collect()
    }

    /// Compares what the host has with the earlier state of one step.
    async fn examine_back(&self, Step { resource, to, .. }: &Step) -> Result<(Saved, Back)> {
        let to = to.as_ref().context("a step back has no earlier state")?;
        let (now, back) = resource.examine_back(to, self.host).await?;
        let back = self.keep_data(resource, back);
        let changed = matches!(back, Back::Change(_));
        let outcome = MemoEntry { changed, digest: None, before: None, changed_at: None };
        self.host.record(resource.id(), outcome);
        if let Back::Change(Change { action: Action::Remove, .. }) = back {
            let Profile { place, written, .. } = resource.profile();
            let gone = written.into_iter().flatten().filter(|_| place != Place::Nowhere);
            gone.for_each(|path| self.host.note_leaving(path));
        }
        Ok((now, back))
    }

    /// Brings a resource back to an earlier state.
    fn back(&mut self, step: &Step, because: Option<&str>, compared: Result<(Saved, Back)>) {
        let resource = &step.resource;
        let (now, back) = match compared {
            Ok(compared) => compared,
            Err(error) => return self.obstacle(resource, error),
        };
        self.note_state(resource, &now.digest());
        match back {
            Back::Nothing => self.plan.settled.push(resource.id()),
            Back::Kept(because) => {
                if !resource.is_data() {
                    self.plan.settled.push(resource.id());
                }
                self.plan.kept.push((resource.id(), because));
            }
            Back::Change(mut change) => {
                if let Err(error) = resource.require_mutable(self.host) {
                    return self.obstacle(resource, error);
                }
                if change.because.is_none() {
                    change.because = because.map(str::to_owned);
                }
                if step.is_surplus {
                    change.because = Some("an older version than the last".to_owned());
                    let is_file = resource.path().is_some();
                    let what = if is_file {
                        "the file".to_owned()
                    } else {
                        format!("`{}`", resource.id())
                    };
                    change.not_undone = Some(what);
                }
                self.plan.push(step, change);
            }
        }
    }

    /// Removes what something of another type is made in the place of. What holds things of others
    /// is an obstacle.
    fn give_way(&mut self, step: &Step, compared: Result<(Saved, Back)>) {
        let before = self.plan.kept.len();
        self.back(step, Some("something else takes its place"), compared);
        for (_, because) in self.plan.kept.split_off(before) {
            let hint = "hwctl does not remove what it did not make: move that away and run again";
            let why = anyhow!("something else should be in its place, and {because}");
            self.obstacle(&step.resource, why.context(Hint(hint.to_owned())));
        }
    }

    fn keep_data(&self, resource: &Resource, back: Back) -> Back {
        match back {
            Back::Change(change)
                if change.action == Action::Remove
                    && resource.is_data()
                    && !self.wanted.purge_data =>
            {
                Back::Kept("it is data: `hwctl destroy --purge-data` removes it".to_owned())
            }
            other => other,
        }
    }

    /// Adds the state of a resource to what the plan's fingerprint is of.
    fn note_state(&mut self, resource: &Resource, state: &str) {
        let _ = writeln!(self.states, "{}\0{state}", resource.id());
    }

    fn obstacle(&mut self, resource: &Resource, error: anyhow::Error) {
        self.obstacles.push(obstacle(resource, error));
    }
}

/// Something of the host that is in the way of a resource.
fn obstacle(resource: &Resource, error: anyhow::Error) -> Failure {
    let error = error.context(format!("cannot plan `{}`", resource.id()));
    Failure::from_error(Exit::Failed, &error).page(Page::Adoption)
}

/// From this rank on: what services need until they have ended.
const LATE_RANK: u8 = 6;

/// When a resource is brought back: what a unit reads before the unit, what may not come again last.
/// What the firewall is loaded with comes right before it, since the host reverts both unless a new
/// login confirms them in time.
fn rank(step: &Step) -> u8 {
    match step.resource.profile().undo {
        Undo::Setting => 0,
        Undo::FirewallFile => 1,
        Undo::Firewall => 2,
        // Containers need it, and so do volumes and images that go.
        Undo::ContainerRuntime if step.stops_docker() => 7,
        Undo::ContainerRuntime => 3,
        Undo::Container => 4,
        Undo::Unit => 5,
        Undo::Stored => 6,
        Undo::Packages => 8,
    }
}

impl Step {
    /// Whether docker does not run any more once the step is made.
    pub(in crate::engine) fn stops_docker(&self) -> bool {
        let is_docker = self.resource.profile().undo == Undo::ContainerRuntime;
        let to = self.to.as_ref().filter(|_| is_docker);
        to.is_some_and(|to| self.resource.is_stopped_in(to))
    }
}

/// One failure of many: the first, and the headlines of the others.
fn joined(mut obstacles: Vec<Failure>) -> Option<Failure> {
    if obstacles.is_empty() {
        return None;
    }
    let first = obstacles.remove(0);
    let first = first.not_done("nothing was changed on the host");
    Some(obstacles.into_iter().fold(first, |failure, other| {
        let line = std::iter::once(other.what).chain(other.why).collect::<Vec<_>>().join(": ");
        failure.why(format!("also: {line}"))
    }))
}

#[cfg(test)]
mod tests;
