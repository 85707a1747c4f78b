//! In which order a plan is carried out: what needs none of its packages is made while apt works.

use std::path::Path;

use crate::engine::driver::Drivers;
use crate::engine::plan::Plan;
use crate::engine::record::step::Step;
use crate::resource::{Blob, Host, Id, Needs, Pace, Resource, Undo, firewall_package};

/// Where packages install nothing that a part declares: by Debian's policy (9.1), or because the folder is
/// hwctl's own. A web server's package puts no more than a page into `/var/www/html`.
const NO_PACKAGES: [&str; 9] = [
    "/etc/hwctl",
    "/etc/sysctl.d/60-hwctl.conf",
    "/etc/systemd/system",
    "/home",
    "/opt",
    "/srv",
    "/usr/local",
    "/var/lib/hwctl",
    "/var/www",
];

/// The places in the plan, in the order in which they are made.
#[derive(Debug)]
pub(in crate::engine) struct Order {
    /// Of packages that are installed.
    pub(in crate::engine) packages: Option<usize>,
    /// What is made while they are; empty without packages.
    pub(in crate::engine) beside: Vec<usize>,
    /// What comes after both.
    pub(in crate::engine) rest: Vec<usize>,
}

impl Order {
    /// Of a plan; what `lacks` says is still to come is not made beside packages.
    pub(in crate::engine) fn of(
        plan: &Plan,
        drivers: Drivers,
        lacks: impl Fn(&Blob) -> bool,
    ) -> Self {
        let packages = plan.steps.iter().position(is_install);
        let mut order = Self { packages, beside: Vec::new(), rest: Vec::new() };
        let mut waits: Vec<Id> = Vec::new();
        let mut giving_way: Vec<&Path> = Vec::new();
        for (index, step) in plan.steps.iter().enumerate() {
            let comes = step.resource.blob().is_none_or(|blob| !lacks(blob));
            if packages == Some(index) {
                continue;
            }
            // Where something gives way, what comes in its place waits for that.
            let has_place = |path: &Path| !giving_way.iter().any(|gone| path.starts_with(gone));
            let is_apart = || {
                needs_no_package(step, drivers, &waits)
                    && step.resource.path().is_none_or(has_place)
            };
            if packages.is_some() && comes && is_apart() {
                order.beside.push(index);
            } else {
                giving_way.extend(step.to.as_ref().and_then(|_| step.resource.path()));
                waits.push(step.resource.id());
                order.rest.push(index);
            }
        }
        order
    }
}

/// What stands alone and may begin before its turn, as nothing is `left` before it but images and what is made with Docker.
pub(in crate::engine) fn ahead(plan: &Plan, left: &[usize]) -> Option<usize> {
    let profile = |index: usize| plan.steps[index].resource.profile();
    let is_of_docker = |index: usize| {
        profile(index).pace == Pace::Fetch || matches!(profile(index).needs, Needs::Package(_))
    };
    let next = left.iter().position(|index| !is_of_docker(*index)).filter(|place| *place > 0)?;
    Some(left[next]).filter(|index| profile(*index).pace == Pace::Ahead)
}

/// The package that a change needs; `None`: more than one. A pull needs the certificates as well, and
/// where a service that is being set up could hold the lock of the rules, so does the firewall.
pub(in crate::engine) fn package(
    resource: &Resource,
    drivers: Drivers,
    host: &Host,
) -> Option<&'static str> {
    let profile = resource.profile();
    match profile.needs {
        Needs::Package(name) => Some(name),
        Needs::Firewall => firewall_package(host),
        Needs::Unit(name) => drivers.package_of_unit(name),
        Needs::Nothing | Needs::AllPackages => None,
        Needs::Place if is_of_firewall(resource) => firewall_package(host),
        Needs::Place => profile.place.path().and_then(|path| drivers.package_configured_at(path)),
    }
}

/// Whether it is the firewall, or what that is loaded with.
pub(in crate::engine) fn is_of_firewall(resource: &Resource) -> bool {
    let undo = resource.profile().undo;
    undo == Undo::Firewall || undo == Undo::FirewallFile
}

fn is_install(step: &Step) -> bool {
    step.to.is_none() && step.resource.profile().pace == Pace::Install
}

/// Whether a change needs no package, and nothing of what `waits` for one.
fn needs_no_package(step: &Step, drivers: Drivers, waits: &[Id]) -> bool {
    if step.to.is_some() || step.waits_for_others() {
        return false;
    }
    let is_apart = |path: &Path| {
        drivers.is_private(path) || NO_PACKAGES.iter().any(|folder| path.starts_with(folder))
    };
    let waits_for = |id: &Id| waits.contains(id);
    let profile = step.resource.profile();
    match profile.needs {
        Needs::Nothing => true,
        Needs::Package(_) | Needs::AllPackages | Needs::Firewall => false,
        Needs::Unit(name) => {
            let file = Id::new("file", format_args!("/etc/systemd/system/{name}"));
            profile.inputs.contains(&file) && !profile.inputs.iter().any(waits_for)
        }
        Needs::Place => {
            let target = profile.target.map(|target| Id::new("file", target.display()));
            !target.is_some_and(|target| waits_for(&target))
                && profile.place.path().is_some_and(is_apart)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::driver::tests::DRIVERS;
    use crate::resource::{
        Content, Declared, File, Image, Link, OnChange, Owner, Packages, Saved, TRIAL_FOLDER, Task,
        Unit, User, Volume,
    };

    fn plan(resources: Vec<Resource>) -> Plan {
        let step = |resource| Step::from(Declared::new(String::new(), resource));
        Plan {
            changes: Vec::new(),
            steps: resources.into_iter().map(step).collect(),
            kept: Vec::new(),
            settled: Vec::new(),
            fingerprint: String::new(),
            blobs: Vec::new(),
        }
    }

    fn packages() -> Resource {
        Packages {
            names: vec!["nginx".to_owned()],
            alternatives: BTreeMap::new(),
            spared: Vec::new(),
        }
        .into()
    }

    fn file(path: &str) -> Resource {
        File::text(path, "x").into()
    }

    fn unit(name: &str, inputs: &[&Resource]) -> Resource {
        let inputs = inputs.iter().map(|input| input.id()).collect();
        let unit = Unit::new(name, inputs, OnChange::Restart);
        Unit { beside: vec![TRIAL_FOLDER.to_owned()], ..unit }.into()
    }

    /// The API with its binary, as the stack has it.
    fn api() -> (Blob, Vec<Resource>) {
        let blob = Blob { key: "0".repeat(64), size: 9 };
        let path = "/usr/local/lib/hwctl/api/flask-app-000000000000";
        let content = Content::Blob(blob.clone());
        let binary = File::new(path, content, 0o755, Owner::root());
        let link = Link { path: "/usr/local/lib/hwctl/api/flask-app".into(), target: path.into() };
        let (link, file) = (link.into(), file("/etc/systemd/system/flask-app.service"));
        let service = unit("flask-app.service", &[&file, &link]);
        (blob, vec![binary.into(), link, file, service])
    }

    #[test]
    fn what_needs_no_package_is_made_beside_them() {
        let nginx = file("/etc/nginx/nginx.conf");
        let user = User {
            name: "flask-app".to_owned(),
            home: "/home/ubuntu/Flask-app".into(),
            owns_home: false,
        };
        let mut all = vec![
            packages(),
            nginx.clone(),
            unit("nginx.service", &[&nginx]),
            unit("docker.service", &[]),
            user.into(),
        ];
        all.extend(api().1);
        let order = Order::of(&plan(all), DRIVERS, |_| false);
        assert_eq!(order.packages, Some(0));
        assert_eq!(order.beside, [4, 5, 6, 7, 8]);
        assert_eq!(order.rest, [1, 2, 3]);
    }

    fn task(name: &str, stands_alone: bool) -> Resource {
        let task = Task {
            name: name.to_owned(),
            command: vec!["true".to_owned()],
            user: "app-shop".to_owned(),
            folder: "/srv".into(),
            environment: None,
            writable: Vec::new(),
            inputs: Vec::new(),
            timeout_s: 1,
            state: None,
            stands_alone,
            container: None,
        };
        task.into()
    }

    #[test]
    fn a_build_begins_before_its_turn_once_only_docker_is_left_before_it() {
        let image = Image::named_in("postgres:17", None, None);
        let volume = Volume { name: "shop-db".to_owned() };
        let all = vec![
            unit("docker.service", &[]),
            image.into(),
            volume.into(),
            task("shop-build", true),
            task("shop-before", false),
            task("wiki-build", true),
        ];
        let plan = plan(all);
        for (left, expected) in [
            (&[0, 1, 2, 3, 4, 5][..], None),
            (&[1, 2, 3, 4, 5], Some(3)),
            (&[2, 3, 4, 5], Some(3)),
            // At its turn it is in nobody's way, and what relies on others has to come first.
            (&[3, 4, 5], None),
            (&[1, 4, 5], None),
            (&[1], None),
            (&[], None),
        ] {
            assert_eq!(ahead(&plan, left), expected, "{left:?}");
        }
    }

    #[test]
    fn what_has_yet_to_come_is_waited_for_by_all_that_needs_it() {
        let (blob, api) = api();
        let all: Vec<_> = std::iter::once(packages()).chain(api).collect();
        let order = Order::of(&plan(all), DRIVERS, |asked| *asked == blob);
        assert_eq!((order.beside, order.rest), (vec![3], vec![1, 2, 4]));
    }

    #[test]
    fn what_takes_the_place_of_something_waits_until_that_is_gone() {
        let step = |resource: Resource, to: Option<Saved>| Step {
            tag: String::new(),
            resource,
            to,
            is_surplus: false,
        };
        let page = file("/var/www/about");
        let nothing = page.nothing();
        let mut plan = plan(vec![packages(), file("/var/www/about/x"), file("/var/www/other")]);
        plan.steps.insert(0, step(page, nothing));

        let order = Order::of(&plan, DRIVERS, |_| false);

        assert_eq!((order.beside, order.rest), (vec![3], vec![0, 2]));
    }

    #[test]
    fn what_needs_more_than_one_package_waits_for_all() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let needed = |resource: Resource| package(&resource, DRIVERS, &host);
        let image = |archive| Image::named_in("redis:7-alpine", archive, None).into();
        assert_eq!(needed(image(Some(api().0))), Some("docker.io"));
        assert_eq!(needed(image(None)), None, "a pull needs ca-certificates too");
        assert_eq!(needed(file("/etc/nginx/nginx.conf")), Some("nginx"));
        let programs = root.path().join("usr/sbin");
        std::fs::create_dir_all(&programs).unwrap();
        for (kind, expected) in [("legacy", None), ("nft", Some("ufw"))] {
            let program = programs.join(format!("xtables-{kind}-multi"));
            std::fs::write(&program, "").unwrap();
            for name in ["iptables", "ip6tables"] {
                let _ = std::fs::remove_file(programs.join(name));
                std::os::unix::fs::symlink(&program, programs.join(name)).unwrap();
            }
            assert_eq!(needed(file("/etc/ufw/after.rules")), expected, "{kind}");
        }
    }

    #[test]
    fn without_packages_all_comes_in_its_order() {
        let order = Order::of(&plan(api().1), DRIVERS, |_| false);
        assert_eq!((order.packages, order.beside, order.rest.len()), (None, vec![], 4));
    }
}
