//! `hwctl cloud-init`: what a machine needs to provision itself at its first boot.

mod bundle;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cli::CloudInitArgs;
use crate::command::fleet::hosts::{sources, template_folder};
use crate::command::private_file;
use crate::failure::{Exit, Failure, Page};
use crate::inventory::schema::Variable as _;
use crate::inventory::{self, Excerpted, Inventory, InventoryHost, Member, Sources};
use crate::part::{
    Balancing, Fleet, HostView, Kinds, PortableFile, Role, Roles, Side, portable_files,
};
use crate::remote::host_binary;
use crate::report::{print, print_error};
use crate::resource::Facts;
use bundle::Bundle;

/// The script that cloud-init runs at the first boot. It leaves a unit that runs the other one.
const USER_DATA: &str = include_str!("user-data.sh");
/// The script that fetches the bundle and provisions the machine.
const RUN: &str = include_str!("run.sh");
/// What stands for the name and the address of a machine of a group until it knows them.
const MEMBER: (&str, &str) = ("hwctl-member-name", "hwctl-member-address");
/// Characters of base64 on a line.
const LINE: usize = 76;

/// Runs `hwctl cloud-init`.
pub fn run(kinds: Kinds, args: &CloudInitArgs) -> Result<Exit> {
    let machine = Machine::find(args)?;
    let bundle =
        machine.bundle(kinds, args).map_err(|error| match error.downcast::<Failure>() {
            Ok(failure) => failure.not_done("nothing was written").into(),
            Err(error) => error,
        })?;
    let packed = bundle.packed()?;
    let text = user_data(args, &machine, &bundle, &packed)?;
    fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make `{}`", args.out.display()))?;
    write(&args.out.join("user-data"), text.as_bytes())?;
    let shown = args.out.display();
    let Some(url) = &args.url else {
        // What an earlier call with a URL has left does not belong to this user-data.
        let _ = fs::remove_file(args.out.join(bundle::NAME));
        print(&format!("wrote `{shown}/user-data` ({})", size(text.len())));
        print("next: start a machine with this file as its user-data");
        return Ok(Exit::Done);
    };
    write(&args.out.join(bundle::NAME), &packed.bytes)?;
    print(&format!(
        "wrote `{shown}/user-data` and `{shown}/{}` ({})",
        bundle::NAME,
        size(packed.bytes.len())
    ));
    print(&format!("next: put the bundle where {url} is, and start machines with the user-data"));
    Ok(Exit::Done)
}

/// A host of the inventory, or a machine that a group will have.
struct Machine {
    inventory: Inventory,
    host: InventoryHost,
    /// Whether it learns its name and its address at its first boot.
    is_member: bool,
}

impl Machine {
    fn find(args: &CloudInitArgs) -> Result<Self, Failure> {
        let sources = sources(&args.sources);
        let mut inventory = inventory::load(&sources)?;
        let is_member = !inventory.has_host(&args.name);
        if is_member && !inventory.has_group(&args.name) {
            let what = format!("the inventory has no host or group `{}`", args.name);
            return Err(Failure::usage(what).not_done("nothing was written").page(Page::Inventory));
        }
        let name = if is_member { MEMBER.0 } else { &args.name };
        if is_member {
            let member = Member { name: name.to_owned(), group: args.name.clone() };
            inventory = inventory::load(&Sources { member: Some(member), ..sources })?;
        }
        for warning in inventory.warnings() {
            print_error(&format!("warning: {warning}"));
        }
        let host = inventory.select(&[name.to_owned()], None)?.swap_remove(0);
        host.require_open_vaults()?;
        Ok(Self { inventory, host, is_member })
    }

    fn bundle(&self, kinds: Kinds, args: &CloudInitArgs) -> Result<Bundle> {
        let (inventory, host) = (&self.inventory, &self.host);
        let folder = inventory.folder();
        let (vars, warnings) = kinds.vars(inventory, host)?;
        for warning in warnings {
            print_error(&format!("warning: {warning}"));
        }
        self.require_role(vars.get::<Roles>())?;
        let fleet = kinds.fleet(inventory)?;
        let facts = Facts::unknown();
        let view =
            HostView { vars: &vars, facts: &facts, fleet: &fleet, entry: Some(host), folder };
        kinds.check(&view)?;
        let (kept, mut files) = kinds.portable(&view, folder)?;
        let templates = template_folder(folder);
        let mut texts = String::new();
        if templates.is_dir() {
            let of_templates = portable_files(&templates, Path::new("templates"), &[])?;
            for file in &of_templates {
                texts += &fs::read_to_string(&file.local)
                    .with_context(|| format!("read `{}`", file.local.display()))?;
            }
            files.extend(of_templates);
        }
        require_outside(&args.out, &files)?;
        let (program, machine) = host_binary(args.host_binary.as_deref())?;
        let machine = machine.ok_or_else(|| {
            Failure::usage("`--host-binary` names no Linux program")
                .hint("name a build of hwctl for the machine")
        })?;
        let text = self.excerpt(kinds, &fleet, &kept, &texts)?;
        Ok(Bundle::of(&program, machine, &text, files))
    }

    /// Refuses what others have to know before it is there, or what has to know all others.
    fn require_role(&self, Roles(roles): &Roles) -> Result<(), Failure> {
        let what = if roles.contains(&Role::Monitor) {
            "a monitor cannot provision itself: it has to know all other hosts"
        } else if self.is_member && roles.contains(&Role::Balancer) {
            "the machines of a group cannot be balancers: the web hosts have to know their addresses"
        } else {
            return Ok(());
        };
        Err(Failure::usage(what).hint("name it in the inventory and use `hwctl provision`"))
    }

    /// The inventory of the machine, and of the hosts that it works with. `templates` are the texts of the operator's own.
    fn excerpt(
        &self,
        kinds: Kinds,
        fleet: &Fleet,
        kept: &[&str],
        templates: &str,
    ) -> Result<String, Failure> {
        let name = self.host.name.as_str();
        let of_peers = [Roles::NAME, Balancing::NAME];
        let is_balancer = |side: &Side| matches!(side, Side::Balancer { .. });
        let own = fleet.pooled(name).is_some_and(|own| is_balancer(&own.side));
        // A web host has to know its balancers, and a balancer all of its pool.
        let in_pool = fleet.pool_of(name).filter(|(_, side)| own || is_balancer(side));
        let in_pool = in_pool.map(|(peer, _)| peer);
        let monitors = fleet.hosts.iter().filter(|peer| peer.roles.contains(&Role::Monitor));
        let mut names: Vec<_> = in_pool.chain(monitors).map(|peer| peer.name.clone()).collect();
        names.retain(|peer| peer != name);
        let hosts = match names.is_empty() {
            true => Vec::new(),
            false => self.inventory.select(&names, None)?,
        };
        let peer = |host| Excerpted { host, address: &host.address, kept: &of_peers, others: &[] };
        let peers: Vec<_> = hosts.iter().map(peer).collect();
        let address = if self.is_member { MEMBER.1 } else { &self.host.address };
        let declared = kinds.variables();
        let is_own = |name: &str| declared.iter().any(|one| one.key.name == name);
        let mut others: Vec<_> =
            self.host.for_templates().into_iter().map(|(name, _)| name).collect();
        others.retain(|name| templates.contains(name) && name != "hwctl" && !is_own(name));
        others.retain(|name| !name.starts_with("ansible_"));
        let own = Excerpted { host: &self.host, address, kept, others: &others };
        let text = Inventory::excerpt(&own, &peers, &declared)?;
        if self.is_member
            && text.to_lowercase().matches(MEMBER.0).count() != text.matches(MEMBER.0).count()
        {
            return Err(Failure::usage(
                "a template changes the name of a machine, which is not known yet",
            )
            .hint("use `inventory_hostname` as it is, or name a host in the place of a group"));
        }
        Ok(text)
    }
}

/// Refuses to write what is made into a folder that goes to the machine.
fn require_outside(out: &Path, files: &[PortableFile]) -> Result<(), Failure> {
    let real = |path: &Path| path.canonicalize().ok();
    let Some(out) = real(out) else { return Ok(()) };
    let made = [out.join("user-data"), out.join(bundle::NAME)];
    match files.iter().any(|file| real(&file.local).is_some_and(|file| made.contains(&file))) {
        true => Err(Failure::usage("`--out` lies in a folder that goes to the machine")
            .hint("name a folder of its own")),
        false => Ok(()),
    }
}

/// The text of the user-data.
fn user_data(
    args: &CloudInitArgs,
    machine: &Machine,
    bundle: &Bundle,
    packed: &bundle::Packed,
) -> Result<String> {
    let name = if machine.is_member { "" } else { &machine.host.name };
    let url = args.url.as_deref().unwrap_or("");
    let inventory = bundle.inventory.to_str().context("the path of an inventory is text")?;
    let mut run = RUN.replace("@MACHINE@", bundle.machine);
    for (place, value) in
        [("@URL@", url), ("@SHA256@", &packed.sha256), ("@INVENTORY@", inventory), ("@NAME@", name)]
    {
        run = run.replace(place, &shlex::try_quote(value)?);
    }
    let text = USER_DATA.replace("@RUN@", run.trim_end());
    let embedded = if args.embed {
        let encoded = STANDARD.encode(&packed.bytes);
        let lines = encoded.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
        let lines: Vec<_> = lines.collect();
        format!(
            "base64 -d >{} <<'END OF BUNDLE'\n{}\nEND OF BUNDLE",
            bundle::NAME,
            lines.join("\n")
        )
    } else {
        String::new()
    };
    Ok(text.replace("@BUNDLE@", &embedded))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = private_file::write(path, |file| file.write_all(bytes));
    written.with_context(|| format!("cannot write `{}`", path.display()))
}

/// A number of bytes for people.
fn size(bytes: usize) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
