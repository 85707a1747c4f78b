//! From the command line to hosts: the inventory, the lab, and how each is reached.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::chosen;
use crate::cli::{HostArgs, SourceArgs};
use crate::command::roll::Roll;
use crate::failure::{Failure, Page};
use crate::inventory::{self, Inventory, InventoryHost, Programs, Sources, Vars, ask_secret};
use crate::lab::{self, Lab, Lifetime, UpOptions};
use crate::part::{Context, Fleet, HostView, Kinds, Monitoring, Side, Stack, Templates};
use crate::remote::{SudoPassword, Target, identity_option};
use crate::resource::{Facts, Secret};
use crate::spec::{PartSpec, Scope};

/// The name of the lab host of `--lab`.
const LAB_HOST: &str = "lab1";
/// What a lab host is provisioned with where there is no inventory: passwords for a throw-away
/// host that only this machine reaches.
const LAB_SETS: [&str; 2] = ["sites.site2.users={admin: homework}", "api.users={admin: password}"];

/// One host to work on.
#[derive(Clone)]
pub(in crate::command) struct Work {
    pub(in crate::command) kinds: Kinds,
    pub(in crate::command) target: Target,
    pub(in crate::command) vars: Vars,
    pub(in crate::command) warnings: Vec<String>,
    /// What was read for the hosts of the verb, and from where.
    pub(in crate::command) origins: Arc<[String]>,
    /// What relative paths in the vars are relative to.
    pub(in crate::command) folder: PathBuf,
    /// The balancers that give work to the host.
    pub(in crate::command) balancers: Vec<Arc<Work>>,
    /// The hosts of the verb as they take turns.
    pub(in crate::command) roll: Arc<Roll>,
    /// All hosts of the inventory.
    fleet: Arc<Fleet>,
    host: InventoryHost,
    /// The parts whose passwords and local files were found.
    found: Scope,
}

/// The scope of a verb that needs no passwords and no local files.
pub(in crate::command) fn nothing() -> Scope {
    Scope::Only(Vec::new())
}

impl Work {
    /// The parts of the host as far as they are known before it is contacted.
    pub(in crate::command) fn parts(&self) -> Vec<PartSpec> {
        self.parts_on(&Facts::unknown())
    }

    /// The parts of the host.
    pub(in crate::command) fn parts_on(&self, facts: &Facts) -> Vec<PartSpec> {
        self.kinds.parts(&self.view(&self.vars, facts))
    }

    /// Refuses parts that stand in each other's way.
    pub(in crate::command) fn check_parts(&self) -> Result<(), Failure> {
        self.kinds.check(&self.view(&self.vars, &Facts::unknown()))
    }

    /// The parts that have to be made together with those of `scope`, so that a change of them is whole.
    pub(in crate::command) fn with_takers(&self, scope: &Scope) -> Scope {
        self.kinds.with_takers(&self.view(&self.vars, &Facts::unknown()), scope)
    }

    /// What the host should have with these vars, without the resources of folders with local files.
    pub(in crate::command) fn folded_stack(
        &self,
        vars: &Vars,
        facts: &Facts,
        context: Context<'_>,
        templates: &Templates,
    ) -> Result<Stack> {
        self.kinds.folded_stack(&self.view(vars, facts), context, templates)
    }

    /// The group of hosts that it is of, where a verb works on one group after the other: data, web hosts behind a balancer,
    /// balancers.
    pub(in crate::command) fn stage(&self) -> u8 {
        match self.fleet.pooled(&self.host.name).map(|pooled| &pooled.side) {
            None => 0,
            Some(Side::Web { .. }) => 1,
            Some(Side::Balancer { .. }) => 2,
        }
    }

    /// The web hosts behind this host, where it is a balancer.
    pub(in crate::command) fn web_hosts(&self) -> impl Iterator<Item = &str> {
        let pool = self.fleet.pool_of(&self.host.name).filter(|_| self.stage() == 2);
        let web = pool.filter(|(_, side)| matches!(side, Side::Web { .. }));
        web.map(|(peer, _)| peer.name.as_str())
    }

    /// The parts whose passwords and local files were found.
    pub(in crate::command) fn found(&self) -> &Scope {
        &self.found
    }

    /// Where the variable at a path of keys is written. None where only the defaults have it.
    pub(in crate::command) fn place(&self, path: &[&str]) -> Option<String> {
        self.host.place(path)
    }

    fn view<'a>(&'a self, vars: &'a Vars, facts: &'a Facts) -> HostView<'a> {
        HostView { vars, facts, fleet: &self.fleet, entry: Some(&self.host), folder: &self.folder }
    }

    /// The part of this name, where the host has it.
    pub(in crate::command) fn part(&self, name: &str) -> Result<PartSpec, Failure> {
        let found = self.parts().into_iter().find(|part| part.name == name);
        found.ok_or_else(|| {
            Failure::usage(format!("`{}` has no part `{name}`", self.target.name))
                .not_done("nothing was changed on the host")
                .hint("`roles` in the inventory says what the host is for")
                .page(Page::Inventory)
        })
    }

    /// Whether this build has a kind of part of this name, which the host may lack.
    pub(in crate::command) fn knows_kind(&self, name: &str) -> bool {
        self.kinds.names().any(|kind| kind == name)
    }

    /// The same work once the passwords and local files are found that the parts of `scope` need.
    pub(in crate::command) fn look_up(mut self, scope: &Scope) -> Result<Self, Failure> {
        let facts = Facts::unknown();
        let found = self.kinds.look_up(&self.view(&self.vars, &facts), scope, &self.folder);
        let not_done = || format!("`{}` is not contacted", self.target.name);
        let warnings = found.map_err(|failure| {
            // A name that is passed over may be why.
            let warned = self.warnings.iter().fold(failure, Failure::why);
            warned.not_done(not_done())
        })?;
        self.warnings.extend(warnings.iter().map(ToString::to_string));
        self.found = scope.clone();
        Ok(self)
    }
}

/// Refuses a verb about a part that none of the hosts has. Those that lack it are passed over.
pub(in crate::command) fn require_part(works: &[Work], name: &str) -> Result<(), Failure> {
    let mut found = works.iter().map(|work| work.part(name));
    let first = found.next();
    match first {
        Some(Err(failure)) if found.all(|part| part.is_err()) => Err(failure),
        _ => Ok(()),
    }
}

/// What was read for the hosts of a verb, and from where.
fn origins(inventory: &Inventory) -> Vec<String> {
    let read = match inventory.path() {
        Some(path) => format!("the inventory is `{}`", path.display()),
        None => "there is no inventory: hwctl's defaults hold".to_owned(),
    };
    let own = Some(template_folder(inventory.folder())).filter(|folder| folder.is_dir());
    let templates = own.map(|folder| format!("templates are also in `{}`", folder.display()));
    std::iter::once(read).chain(inventory.notes().iter().cloned()).chain(templates).collect()
}

/// The hosts that the command line means; `tell` hears what the lab does.
pub(in crate::command) fn find(
    kinds: Kinds,
    args: &HostArgs,
    needs: &Scope,
    emit: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Vec<Work>> {
    let password = match args.ask_become_pass {
        true => Some(SudoPassword::from(ask_password()?)),
        false => None,
    };
    if args.lab {
        return Ok(vec![lab_host(kinds, args, emit)?.look_up(needs)?]);
    }
    let inventory = Arc::new(load(args, args.sources.set.clone())?);
    let hosts = chosen::select(&inventory, args)?;
    if hosts.is_empty() {
        return Err(Failure::usage("there is no host to work on")
            .hint("name one with `--host ADDRESS`, or list hosts in `inventory.yaml`")
            .page(Page::Inventory)
            .into());
    }
    let fleet = kinds.fleet(&inventory).map(Arc::new);
    let origins: Arc<[String]> = origins(&inventory).into();
    let roll = Arc::new(Roll::new(args));
    let work = |host: InventoryHost| {
        host.require_reachable()?;
        let (vars, warnings) = kinds.vars(&inventory, &host)?;
        let target = Target {
            name: host.name.clone(),
            is_here: host.is_here,
            address: host.address.clone(),
            user: args.user.clone().or_else(|| host.user.clone()),
            port: args.port.or(host.port),
            identity: args.identity.clone(),
            known_hosts: args.known_hosts.clone(),
            ssh_arguments: ssh_arguments(args, &host)?,
            accept_new_host_key: args.accept_new_host_key,
            sudo: host.sudo(),
            become_password: password.clone().or_else(|| sudo_password(&inventory, &host)),
            host_binary: args.host_binary.clone(),
            connect_timeout: Duration::from_secs(args.connect_timeout.into()),
            persist: persist(args),
        };
        let warnings = inventory.warnings().iter().chain(&warnings);
        let warnings = warnings.map(ToString::to_string).chain(closed_vaults(&host)).collect();
        // What is wrong with a host that is worked on is reported first, all of it. A verb that makes nothing of
        // the peers goes on without them.
        let fleet = match *needs == nothing() {
            true => fleet.clone().unwrap_or_default(),
            false => fleet.clone()?,
        };
        Ok::<_, Failure>(Work {
            kinds,
            target,
            vars,
            warnings,
            origins: Arc::clone(&origins),
            folder: inventory.folder().to_owned(),
            balancers: Vec::new(),
            roll: Arc::clone(&roll),
            fleet,
            host,
            found: nothing(),
        })
    };
    let mut works = Vec::new();
    let mut balancers = HashMap::new();
    for host in hosts {
        chosen::require_named(&host, args)?;
        if *needs != nothing() {
            host.require_open_vaults()?;
        }
        let mut own = work(host)?;
        for (peer, _) in own.fleet.balancers_of(&own.host.name) {
            let balancer = match balancers.entry(peer.name.clone()) {
                Entry::Occupied(known) => Arc::clone(known.get()),
                Entry::Vacant(unknown) => {
                    let found = inventory.select(slice::from_ref(&peer.name), None)?;
                    let found = found.into_iter().next().context("a peer is in the inventory")?;
                    Arc::clone(unknown.insert(Arc::new(work(found)?)))
                }
            };
            own.balancers.push(balancer);
        }
        works.push(own.look_up(needs)?);
    }
    Ok(works)
}

/// The arguments of ssh that the inventory asks for.
fn ssh_arguments(args: &HostArgs, host: &InventoryHost) -> Result<Vec<String>, Failure> {
    let mut arguments = host.ssh_arguments.clone();
    if let (None, Some(key)) = (&args.identity, &host.identity) {
        let key = identity_option(key)?;
        arguments.splice(0..0, ["-oIdentitiesOnly=yes".to_owned(), "-o".to_owned(), key]);
    }
    Ok(arguments)
}

/// The password of sudo that the inventory names, where it does.
fn sudo_password(inventory: &Arc<Inventory>, host: &InventoryHost) -> Option<SudoPassword> {
    let (inventory, host) = (Arc::clone(inventory), host.clone());
    host.has_become_password().then(|| {
        SudoPassword::found_by(move || {
            let found = inventory.become_password(&host)?;
            found.ok_or_else(|| Failure::usage("the inventory names no password of sudo"))
        })
    })
}

/// A warning for each encrypted file that counts for a host and was not opened.
fn closed_vaults(host: &InventoryHost) -> impl Iterator<Item = String> {
    host.closed_vaults().iter().map(|file| {
        format!(
            "{file}: this file is encrypted and its variables are missing: no vault password was given"
        )
    })
}

fn load(args: &HostArgs, sets: Vec<String>) -> Result<Inventory, Failure> {
    inventory::load(&Sources { sets, ..sources(&args.sources) })
}

/// What the command line says of the inventory.
pub(in crate::command) fn sources(args: &SourceArgs) -> Sources {
    let vault_passwords = args.vault_id.iter().chain(&args.vault_password_file).cloned();
    Sources {
        inventories: args.inventory.clone(),
        sets: args.set.clone(),
        vault_passwords: vault_passwords.collect(),
        programs: Programs::Run,
        member: None,
    }
}

/// Boots the lab host unless it runs. Returns it with the archive of its image of Redis.
fn boot(emit: impl Fn(&str) + Send + Sync + 'static) -> Result<(Lab, lab::LabHost, PathBuf)> {
    let lab = Lab::open()?.with_progress(emit);
    let name = LAB_HOST.to_owned();
    let release = lab::DEFAULT_RELEASE.to_owned();
    let host = match lab.host(&name).filter(lab::LabHost::is_running) {
        Some(host) => host,
        None => lab.up(&UpOptions { name, release, lifetime: Lifetime::Kept })?,
    };
    let archive = lab.redis_archive()?;
    Ok((lab, host, archive))
}

/// Boots the lab host. Its images of Redis and Prometheus are stand-ins: lab hosts reach no registry.
fn lab_host(
    kinds: Kinds,
    args: &HostArgs,
    emit: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Work> {
    let (lab, host, archive) =
        boot(emit).map_err(|error| crate::command::lab::explained(&error))?;
    let mut sets = vec![format!("redis.image_archive={}", archive.display())];
    sets.extend(args.sources.set.iter().cloned());
    let mut inventory = load(args, sets.clone())?;
    if inventory.path().is_none() {
        let sets = LAB_SETS.map(str::to_owned).into_iter().chain(sets);
        inventory = load(args, sets.collect())?;
    }
    let address = host.address.to_string();
    let selected = inventory.select(std::slice::from_ref(&address), None)?;
    let known = selected.into_iter().next().context("the lab host is selected")?;
    let (mut vars, _) = kinds.vars(&inventory, &known)?;
    if vars.get::<Monitoring>().lacks_archive() {
        let image_archive = Some(lab.prometheus_archive()?);
        vars.set(Monitoring { image_archive, ..vars.get::<Monitoring>().clone() });
    }
    let target = Target {
        name: host.name.clone(),
        is_here: false,
        address,
        user: Some(host.ssh_user().to_owned()),
        port: None,
        identity: Some(host.identity().to_owned()),
        known_hosts: Some(host.known_hosts().to_owned()),
        ssh_arguments: Vec::new(),
        accept_new_host_key: false,
        sudo: vec!["sudo".to_owned()],
        become_password: None,
        host_binary: args.host_binary.clone(),
        connect_timeout: Duration::from_secs(args.connect_timeout.into()),
        persist: persist(args),
    };
    let folder = inventory.folder().to_owned();
    let fleet = Arc::new(kinds.fleet(&inventory)?);
    let (warnings, found) = (Vec::new(), nothing());
    let origins = origins(&inventory).into();
    let (balancers, roll) = (Vec::new(), Arc::new(Roll::new(args)));
    let host = known;
    Ok(Work { kinds, target, vars, warnings, origins, folder, balancers, roll, fleet, host, found })
}

/// For how many seconds connections are kept.
fn persist(args: &HostArgs) -> Option<NonZeroUsize> {
    args.persist.and_then(|seconds| NonZeroUsize::new(seconds.into()))
}

fn ask_password() -> Result<Secret> {
    ask_secret("sudo password: ").map(Secret::new).map_err(|error| match error.kind() {
        ErrorKind::NotConnected => {
            Failure::usage("`--ask-become-pass` needs a terminal to ask on").into()
        }
        _ => error.into(),
    })
}

/// The folder of a user's own templates, beside the inventory.
pub(in crate::command) fn template_folder(folder: &Path) -> PathBuf {
    folder.join("templates")
}
