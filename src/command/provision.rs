//! `hwctl provision` and `hwctl plan`: plan, apply, verify from outside, keep or undo.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::bundle;
use crate::cli::{HostArgs, PartArgs, PlanOnlyArgs, ProvisionArgs};
use crate::command::fleet::hosts::{Work, template_folder};
use crate::command::fleet::names;
use crate::command::fleet::{self, Ended, Job, Order, Show};
use crate::command::hooks;
use crate::command::review::{Collection, Gate, Review, ReviewedPlan, Terms};
use crate::command::roll::in_turn;
use crate::command::run::Run;
use crate::command::run::expected::{expected, urls};
use crate::command::run::hash_key;
use crate::engine::protocol::Goal;
use crate::event::{EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::inventory::Vars;
use crate::part;
use crate::part::{Context, Kinds, LocalFolder, Monitoring, Redis, Sites, Stack, Templates};
use crate::remote::{Emit, Engine, state_folder};
use crate::resource::{Blob, Facts};
use crate::spec::Scope;

/// Parts that neither open nor close a port: after a run of these alone no port is knocked at.
const WITHOUT_PORTS: [&str; 4] = ["tls", "sites", "nginx", "host"];

/// Runs `hwctl provision`.
pub fn run(kinds: Kinds, args: ProvisionArgs) -> Result<Exit> {
    let diff = args.diff || args.check;
    provision(kinds, args, diff, None)
}

fn provision(kinds: Kinds, args: ProvisionArgs, diff: bool, out: Option<PathBuf>) -> Result<Exit> {
    let show = Show { json: args.plan.json, diff, check: args.check };
    let hosts = args.plan.hosts.and(&args.named);
    let scope = scope(&args.parts)?;
    let review = review(&args, &hosts, scope.clone(), out)?;
    let provision = Provision { review, ..Provision::new(args, scope, "provision") };
    fleet::run(kinds, &hosts, show, provision)
}

/// Runs `hwctl plan`.
pub fn plan(kinds: Kinds, args: PlanOnlyArgs) -> Result<Exit> {
    let PlanOnlyArgs { named, plan, parts, summary, out } = args;
    let (check, diff, keep_on_failure) = (true, !summary, false);
    let (reviewed, expect) = (None, None);
    let args = ProvisionArgs { named, plan, parts, check, reviewed, expect, diff, keep_on_failure };
    provision(kinds, args, diff, out)
}

/// What the run has to do with a review.
fn review(
    args: &ProvisionArgs,
    hosts: &HostArgs,
    scope: Scope,
    out: Option<PathBuf>,
) -> Result<Review, Failure> {
    if args.check {
        return Ok(Review::Collect(Collection::new(scope, out)));
    }
    let terms = match (&args.reviewed, &args.expect) {
        (None, None) => return Ok(Review::None),
        (Some(path), expected) => {
            let plan = ReviewedPlan::read(path)?;
            plan.require_digest(path, expected.as_deref())?;
            Terms::File { path: path.clone(), plan }
        }
        (None, Some(_)) if hosts.serial.is_some() => {
            return Err(Failure::usage(
                "`--expect` cannot be used with `--serial`: the digest covers the plans of all hosts together",
            )
            .not_done("no host was contacted")
            .hint("use `--plan FILE` instead: it is compared batch by batch"));
        }
        (None, Some(digest)) => Terms::Digest(digest.clone()),
    };
    let batches = hosts.serial.clone();
    Ok(Review::Compare(Gate::new(terms, scope, hosts.parallel, batches)))
}

/// The parts of the stack that are meant.
fn scope(parts: &PartArgs) -> Result<Scope, Failure> {
    let PartArgs { only, skip } = parts;
    if only.is_empty() {
        let is_all = skip.is_empty();
        return Ok(if is_all { Scope::All } else { Scope::Except(skip.clone()) });
    }
    let left: Vec<_> = only.iter().filter(|part| !skip.contains(part)).cloned().collect();
    match left.is_empty() {
        true => Err(Failure::usage("`--skip` excludes every part that `--only` names")
            .not_done("no host was contacted")),
        false => Ok(Scope::Only(left)),
    }
}

/// A run of some parts of the stack, or all.
pub(super) struct Provision {
    pub(super) args: ProvisionArgs,
    pub(super) scope: Scope,
    /// What the host's journal calls it.
    pub(super) verb: &'static str,
    review: Review,
    hosts: AtomicUsize,
    /// How many of the hosts have none of the parts that are asked for by name.
    lacking: AtomicUsize,
    /// The hosts that could not be reached.
    unreached: Mutex<Vec<String>>,
}

impl Provision {
    pub(super) fn new(args: ProvisionArgs, scope: Scope, verb: &'static str) -> Self {
        let (hosts, lacking) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let unreached = Mutex::default();
        Self { args, scope, verb, review: Review::None, hosts, lacking, unreached }
    }
}

impl Job for Provision {
    const WARNS: bool = true;

    fn needs(&self) -> Scope {
        self.scope.clone()
    }

    /// A name that no part has is known before any host is contacted.
    fn begins(&self, works: &[Work]) -> Result<(), Failure> {
        self.hosts.store(works.len(), Ordering::Relaxed);
        let PartArgs { only, skip } = &self.args.parts;
        let known = names::of_parts(works);
        names::require_known("there is no part", only.iter().chain(skip), &known)?;
        for work in works {
            work.check_parts().map_err(|failure| failure.not_done("no host was contacted"))?;
        }
        if !known.iter().any(|name| self.scope.has(name)) {
            return Err(Failure::usage("`--skip` excludes every part of the hosts")
                .not_done("no host was contacted"));
        }
        self.review.begins(works)
    }

    fn order(&self) -> Order {
        if self.args.check { Order::Any } else { Order::InwardsOut }
    }

    fn is_joint(&self) -> bool {
        matches!(self.review, Review::Compare(_))
    }

    fn passes_over(&self) {
        self.review.passes_over();
    }

    /// A part that no host has or had is a mistake. One that some of the hosts have is not.
    fn ends(&self, emit: Emit<'_>) -> Result<(), Failure> {
        let hosts = self.hosts.load(Ordering::Relaxed);
        let parts = match &self.scope {
            Scope::Only(parts) if self.lacking.load(Ordering::Relaxed) >= hosts => parts,
            _ => return self.review.ends(hosts, emit),
        };
        let parts = parts.iter().map(|part| format!("`{part}`")).collect::<Vec<_>>().join(" or ");
        Err(Failure::usage(format!("none of the hosts has or had the part {parts}"))
            .not_done("nothing was changed")
            .hint("`roles` in the inventory says what a host is for"))
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        if self.args.check || self.verb != "provision" {
            return self.carry_out(work, emit).await;
        }
        hooks::before_provision(work).await?;
        self.warn_of_unreached(work, emit);
        let ended = self.carry_out(work, emit).await;
        self.note_unreached(work, &ended);
        let outcome = match &ended {
            Ok(ended) => ended.outcome,
            Err(failure) => hooks::outcome_of(failure),
        };
        let hook = hooks::after_provision(work, outcome).await;
        // How the run failed matters more than that of the hook.
        let ended = ended?;
        hook.map(|()| ended)
    }
}

impl Provision {
    fn note_unreached(&self, work: &Work, ended: &Result<Ended, Failure>) {
        if ended.as_ref().is_err_and(|failure| failure.exit == Exit::Unreachable) {
            let mut unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
            unreached.push(work.target.name.clone());
        }
    }

    /// Says which web hosts behind a balancer were not reached. They stay in its configuration: this machine may be the one
    /// that is cut off.
    fn warn_of_unreached(&self, work: &Work, emit: Emit<'_>) {
        let unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for name in work.web_hosts().filter(|name| unreached.iter().any(|it| it == name)) {
            let message = format!(
                "`{name}` was not reached. It stays among the web hosts of this balancer, which sends it work \
                 while its check succeeds"
            );
            emit(EventKind::Warning { message });
        }
    }

    async fn carry_out(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let Self { args, verb, .. } = self;
        let scope = &work.with_takers(&self.scope);
        // A broken template is known before the host is contacted.
        let templates = load_templates(work)?;
        try_templates(work, &templates)?;
        let mut ticket = self.review.admit().await;
        let mut engine = Engine::start(&work.target, emit).await?;
        let mut made = folded_stack(work, &engine, &templates)?;
        // What is in a folder of a part that is not meant still counts as declared.
        unfold(&mut made, |folder| !scope.has(folder.tag()))?;
        made.narrow(scope);
        let is_part = *scope != Scope::All;
        let opens_ports = match scope {
            Scope::Only(parts) => parts.iter().any(|part| !WITHOUT_PORTS.contains(&part.as_str())),
            Scope::All | Scope::Except(_) => true,
        };
        let serves = scope.has("nginx");
        let host = engine.route.host.clone();
        let outside = |facts: &_, exposure: &_, pins: Option<_>| {
            // nginx serves a new certificate once its own part is provisioned.
            let pins = pins.filter(|_| serves);
            let mut expected = expected(&host, work, facts, exposure, pins);
            if !opens_ports {
                expected.closed.clear();
            }
            expected
        };
        let goal = Goal::Declared {
            resources: made.resources.clone(),
            parts: made.parts.clone(),
            scope: scope.clone(),
            hash_key: hash_key::of(work),
        };
        let run = Run::with(verb, goal, &args.plan)
            .only_planned(args.check)
            .keep_on_failure(args.keep_on_failure)
            .of_stack(made)
            .checked_from_outside(&outside, is_part)
            .sealed(self.review.seals())
            .rehearsed();
        let planned = run.plan_unseen(&mut engine, emit).await?;
        if !ticket.passes(work, planned.sealed_changes(), emit).await? {
            engine.hang_up().await;
            return Ok(Outcome::Refused.into());
        }
        planned.show(emit);
        for part in planned.lacking() {
            emit(EventKind::Warning { message: format!("this host has no part `{part}`") });
        }
        if matches!(scope, Scope::Only(parts) if parts.len() == planned.lacking().len()) {
            self.lacking.fetch_add(1, Ordering::Relaxed);
        }
        let outcome = planned.outcome();
        let is_due = planned.is_due();
        let change = Box::pin(planned.carry_out(&mut engine, emit));
        if in_turn(work, is_due, change, emit).await?.is_none() {
            engine.hang_up().await;
            return Ok(Outcome::Skipped.into());
        }
        engine.let_go().await;
        let urls = if args.check { vec![] } else { urls(&host, work) };
        Ok(Ended { outcome, urls })
    }
}

/// The templates: hwctl's own, and those beside the inventory. Read once for all hosts.
pub(super) fn load_templates(work: &Work) -> Result<Arc<Templates>, Failure> {
    static TEMPLATES: Mutex<Option<(PathBuf, Arc<Templates>)>> = Mutex::new(None);
    let folder = template_folder(&work.folder);
    let mut loaded = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, templates)) = &*loaded
        && *of == folder
    {
        return Ok(Arc::clone(templates));
    }
    let templates =
        part::load_templates(&folder).map_err(|error| Failure::from_error(Exit::Usage, &error))?;
    let templates = Arc::new(templates);
    *loaded = Some((folder, Arc::clone(&templates)));
    Ok(templates)
}

/// Renders all templates for a host of which nothing is known.
fn try_templates(work: &Work, templates: &Templates) -> Result<(), Failure> {
    let mut vars = work.vars.clone();
    // Reading what is uploaded would take its time, twice.
    let (mut sites, redis) = (vars.get::<Sites>().clone(), vars.get::<Redis>().clone());
    sites.0.values_mut().for_each(|site| site.source = None);
    vars.set(sites);
    vars.set(Redis { image_archive: None, ..redis });
    vars.set(vars.get::<Monitoring>().without_archives());
    let address = &work.target.address;
    let made = stack_of(work, &vars, &Facts::unknown(), (address, Path::new("/")), templates);
    made.map(|_| ()).map_err(|failure| failure.not_done("no host was contacted"))
}

/// What the host should have.
pub(super) fn make_stack(
    work: &Work,
    engine: &Engine,
    templates: &Templates,
) -> Result<Stack, Failure> {
    let mut made = folded_stack(work, engine, templates)?;
    unfold(&mut made, |_| true)?;
    Ok(made)
}

fn unfold(made: &mut Stack, is_meant: impl Fn(&LocalFolder) -> bool) -> Result<(), Failure> {
    made.unfold(is_meant).map_err(|error| Failure::from_error(Exit::Usage, &error))
}

/// The same without the resources of folders with local files.
fn folded_stack(work: &Work, engine: &Engine, templates: &Templates) -> Result<Stack, Failure> {
    stack_of(work, &work.vars, &engine.facts, (&engine.route.host, &engine.binary), templates)
}

fn stack_of(
    work: &Work,
    vars: &Vars,
    facts: &Facts,
    (address, binary): (&str, &Path),
    templates: &Templates,
) -> Result<Stack, Failure> {
    let api = bundle::API.map(|api| Blob { key: api.key.to_owned(), size: api.size });
    let api = api.ok_or_else(|| Failure::usage("this hwctl was built without the API binary").hint("use a Linux build of hwctl, or build it with HWCTL_API_BINARY set to a Linux build of the API"))?;
    let passwords = work.found();
    let memory = state_folder().map(|folder| folder.join("digests"));
    let memory = memory.as_deref();
    let context = Context { address, folder: &work.folder, binary, api: &api, passwords, memory };
    work.folded_stack(vars, facts, context, templates)
        .map_err(|error| Failure::from_error(Exit::Usage, &error))
}
