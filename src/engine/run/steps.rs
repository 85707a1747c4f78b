//! The changes of a plan one after the other, and beside them those that need not be waited for.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::engine::plan::order::{self, Order};
use crate::engine::plan::{Plan, Wanted};
use crate::engine::record::journal::Journal;
use crate::engine::record::step::Step;
use crate::engine::run::apply::{Carried, Carrier, applied};
use crate::engine::run::concurrent::{Concurrent, InHand, Made, TICK};
use crate::engine::run::deadman;
use crate::engine::run::rehearsal;
use crate::engine::run::together;
use crate::engine::run::validate;
use crate::event::EventKind;
use crate::resource::{Action, Change, Pace, reload_systemd_if_owed, require_docker};

impl Carrier<'_> {
    /// Makes the changes in their order, save for what need not wait: beside packages, which take
    /// longest, comes what needs none of them, then what needs one that has come; an image comes in
    /// beside the others, and nothing waits until a new container has shown that it stays.
    pub(in crate::engine) async fn steps<'p>(
        &'p self,
        wanted: &Wanted,
        plan: &'p Plan,
        journal: &mut Journal,
        concurrent: &mut Concurrent<'p>,
    ) -> Result<Carried> {
        let all = plan.steps.len();
        let order = Order::of(plan, self.drivers, |blob| self.uploads.lack(blob));
        let mut left: Vec<usize> = order.packages.into_iter().collect();
        left.extend(order.beside.iter().chain(&order.rest));
        let (mut validated, mut image_begun) = (Vec::new(), false);
        while let Some(place) = self.next(plan, &order, &left, concurrent).await? {
            if self.is_stopped(all - left.len(), all)? {
                return Ok(Carried::Stopped(left));
            }
            if left.len() <= order.rest.len() {
                if !image_begun {
                    image_begun =
                        self.begin_image(plan, &order, &left, journal, concurrent).await?;
                }
                self.begin_ahead(plan, &order, &left, journal, concurrent).await?;
            }
            // While packages are installed, only one of the changes may have what it needs.
            let waits = order.packages.is_some_and(|packages| concurrent.has(packages));
            let end = match left.len().checked_sub(order.rest.len()) {
                Some(beside) if beside > 0 => place + beside,
                _ if waits => place + 1,
                _ => left.len(),
            };
            let resources = left[place..end].iter().map(|index| &plan.steps[*index].resource);
            let count =
                together::count(resources, |resource| self.drivers.trial_of(resource).is_some());
            if count > 1 {
                let indices: Vec<usize> = left.drain(place..place + count).collect();
                self.make_together(plan, &indices, journal, concurrent).await?;
                continue;
            }
            let index = left.remove(place);
            let step = &plan.steps[index];
            if let Some(trial) = self.drivers.trial_of(&step.resource)
                && !validated.contains(&trial.name())
            {
                concurrent.beside(validate::configuration(trial, wanted, self.host)).await?;
                validated.push(trial.name());
            }
            let start = Instant::now();
            self.started(index, step);
            if order.packages == Some(index) {
                // What they do may be in the way of what is made beside apt as well; and until apt
                // begins, it may all be stopped.
                let waited = self.unless_halted(step.resource.wait_for_others(self.host)).await;
                applied(step, waited)?;
                if self.is_stopped(0, all)? {
                    left.insert(0, index);
                    return Ok(Carried::Stopped(left));
                }
            }
            if concurrent.has(index) {
                self.finish(plan, index, concurrent).await?;
                continue;
            }
            if step.waits_for_others() {
                while let Some(other) = concurrent.first() {
                    self.finish(plan, other, concurrent).await?;
                }
            }
            let read_now = self.drivers.trials().find(|trial| trial.is_unit(&step.resource));
            if let Some((trial, outside)) = read_now.zip(self.outside) {
                concurrent.beside(rehearsal::rehearse(trial, wanted, outside, self.host)).await?;
            }
            let may_wait = match step.resource.profile().pace {
                Pace::InTurn | Pace::Fetch | Pace::Ahead | Pace::AfterOthers => false,
                Pace::Install => order.packages == Some(index),
                Pace::LaunchThenFinish => true,
            };
            if may_wait && self.start_concurrently(index, step, journal, concurrent).await? {
                continue;
            }
            let made = concurrent.beside(self.one(step, journal)).await;
            applied(step, made)?;
            self.done(index, step, start.elapsed());
        }
        // While a new container shows that it stays.
        concurrent.beside(reload_systemd_if_owed(self.host)).await;
        while let Some(index) = concurrent.first() {
            self.finish(plan, index, concurrent).await?;
        }
        Ok(Carried::Out)
    }

    /// Makes changes of files together, and reports each.
    async fn make_together(
        &self,
        plan: &Plan,
        indices: &[usize],
        journal: &mut Journal,
        concurrent: &mut Concurrent<'_>,
    ) -> Result<()> {
        let start = Instant::now();
        let steps: Vec<&Step> = indices.iter().map(|index| &plan.steps[*index]).collect();
        self.started(indices[0], steps[0]);
        // Files are changed without a pause: what is told goes out before.
        yield_now().await;
        concurrent.beside(self.together(&steps, journal)).await?;
        let each = start.elapsed() / u32::try_from(indices.len()).unwrap_or(u32::MAX);
        for (index, step) in indices.iter().zip(steps) {
            if *index != indices[0] {
                self.started(*index, step);
            }
            self.done(*index, step, each);
        }
        Ok(())
    }

    /// The place among what is `left` of what is made next, once it has what it needs: while packages
    /// are installed, the first, or the firewall, once its own package has come; none at the end. For
    /// what is uploaded all wait: nothing else is begun before that is whole.
    async fn next(
        &self,
        plan: &Plan,
        order: &Order,
        left: &[usize],
        concurrent: &mut Concurrent<'_>,
    ) -> Result<Option<usize>> {
        let is_of_firewall =
            |step: &Step| step.to.is_none() && order::is_of_firewall(&step.resource);
        let firewall = left.iter().position(|index| is_of_firewall(&plan.steps[*index]));
        // The host takes it back unless it is loaded and confirmed in time.
        if firewall.is_some() && deadman::is_armed(self.host) {
            return Ok(firewall);
        }
        let first = (!left.is_empty()).then_some(0);
        if left.len() > order.rest.len() {
            return Ok(first);
        }
        let mut come = None;
        if let Some(packages) = order.packages.filter(|packages| concurrent.has(*packages)) {
            self.hand.set(InHand::Change(packages));
            loop {
                // The firewall needs none of the others: it alone overtakes them.
                let mut next = first.into_iter().chain(firewall);
                come = next.find(|place| self.has_come(&plan.steps[left[*place]]));
                let is_over = concurrent.is_made(packages) || self.halted.get().is_some();
                if come.is_some() || is_over {
                    break;
                }
                concurrent.beside(sleep(TICK)).await;
            }
            if concurrent.is_made(packages) {
                self.finish(plan, packages, concurrent).await?;
            }
        }
        while self.uploads.are_coming()? && self.halted.get().is_none() {
            concurrent.beside(sleep(TICK)).await;
        }
        Ok(come.or(first))
    }

    /// Whether the one package that a change needs has been set up, while others are yet to come.
    fn has_come(&self, step: &Step) -> bool {
        let package = order::package(&step.resource, self.drivers, self.host);
        package.is_some_and(|package| self.host.has_come(package))
    }

    /// Waits for something unless the operator wants it to end.
    async fn unless_halted(&self, waiting: impl Future<Output = Result<()>>) -> Result<()> {
        let halted = async {
            while self.halted.get().is_none() {
                sleep(TICK).await;
            }
        };
        tokio::select! {
            waited = waiting => waited,
            () = halted => Ok(()),
        }
    }

    fn started(&self, index: usize, step: &Step) {
        self.events.emit(EventKind::ChangeStarted { index, id: step.resource.id() });
        self.hand.set(InHand::Change(index));
    }

    fn done(&self, index: usize, step: &Step, took: Duration) {
        let elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.events.emit(EventKind::ChangeDone { index, id: step.resource.id(), elapsed_ms });
    }

    /// Waits for a change that was started concurrently.
    async fn finish(
        &self,
        plan: &Plan,
        index: usize,
        concurrent: &mut Concurrent<'_>,
    ) -> Result<()> {
        concurrent.finish(index).await.map_or(Ok(()), |made| self.made(plan, index, made))
    }

    /// Reports what became of a change that was started concurrently.
    pub(in crate::engine) fn made(
        &self,
        plan: &Plan,
        index: usize,
        Made { result, took }: Made,
    ) -> Result<()> {
        let step = &plan.steps[index];
        applied(step, result)?;
        self.done(index, step, took);
        Ok(())
    }

    /// Begins with the next image among the changes that are left; says that there is no docker for it
    /// yet by `false`.
    async fn begin_image<'p>(
        &'p self,
        plan: &'p Plan,
        order: &Order,
        left: &[usize],
        journal: &mut Journal,
        concurrent: &mut Concurrent<'p>,
    ) -> Result<bool> {
        let is_image =
            |step: &Step| step.resource.profile().pace == Pace::Fetch && step.to.is_none();
        let image = left.iter().copied().find(|index| is_image(&plan.steps[*index]));
        let Some(index) = image else { return Ok(true) };
        let step = &plan.steps[index];
        let is_early = order.packages.is_some_and(|packages| concurrent.has(packages));
        if is_early && !self.has_come(step) {
            return Ok(false);
        }
        self.host.forget();
        // What is wrong with docker is told when its turn comes.
        if require_docker(self.host).await.is_ok() {
            self.start_concurrently(index, step, journal, concurrent).await?;
        }
        Ok(true)
    }

    /// Begins with what stands alone, once nothing is left before it but what Docker makes.
    async fn begin_ahead<'p>(
        &'p self,
        plan: &'p Plan,
        order: &Order,
        left: &[usize],
        journal: &mut Journal,
        concurrent: &mut Concurrent<'p>,
    ) -> Result<()> {
        if order.packages.is_some_and(|packages| concurrent.has(packages)) {
            return Ok(());
        }
        if let Some(index) = order::ahead(plan, left).filter(|index| !concurrent.has(*index)) {
            self.start_concurrently(index, &plan.steps[index], journal, concurrent).await?;
        }
        Ok(())
    }

    /// Starts a change that makes what is not there, or installs packages, concurrently with the next ones.
    /// Returns whether it is such a change.
    async fn start_concurrently<'p>(
        &'p self,
        index: usize,
        step: &'p Step,
        journal: &mut Journal,
        concurrent: &mut Concurrent<'p>,
    ) -> Result<bool> {
        self.host.forget();
        let (host, resource) = (self.host, &step.resource);
        let examined = resource.examine(host).await?;
        let is_install = resource.profile().pace == Pace::Install;
        let fits = |change: &Change| change.action == Action::Create || is_install;
        let change = examined.change.filter(|change| step.to.is_none() && fits(change));
        let Some(change) = change else { return Ok(false) };
        journal.note(step, examined.before.clone(), change)?;
        // The firewall is not changed while docker makes the rules of a container.
        let launched = concurrent.beside(resource.launch(&examined.before, host)).await;
        applied(step, launched)?;
        // An apt that is broken off leaves dpkg in the middle, and what stands alone would go on.
        let is_breakable = !is_install && resource.profile().pace != Pace::Ahead;
        concurrent.begin(index, is_breakable, async move {
            Box::pin(resource.finish(&examined.before, host)).await?;
            self.verify(resource).await
        });
        Ok(true)
    }
}
