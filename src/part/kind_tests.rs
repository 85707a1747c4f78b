//! Kinds of parts that hwctl itself has not: what they offer, share and see, and what is refused.

use super::role_tests::names;
use super::tests::{debian_13, message, text, vars};
use super::*;
use crate::inventory::{Sources, load};
use crate::resource::{Blob, Declared, Directory, Facts, Owner, decode, encode};
use crate::spec::{LogSource, Restart, RestartMethod, Scope};

/// A kind that has two parts, each with a folder and an application of its own.
const SHOPS: PartKind = PartKind {
    name: "shops",
    roles: &[Role::Web],
    parts: Parts::Named(|_| vec!["books".to_owned(), "wine".to_owned()]),
    vars: &[],
    takes: &[],
    driver: None,
    contribute: |_, offered| {
        let (name, path) = (offered.part().to_owned(), format!("/{}", offered.part()));
        let target = RouteTarget::Application(Upstream::at("127.0.0.1:8000"));
        offered.add_route(Route::new(&name, &path, target), None);
    },
    describe: |_, _, spec| spec.private_ports = vec![8000],
    declare: |_, builder| {
        let path = format!("/srv/{}", builder.part());
        builder.directory(path, 0o755);
        Ok(())
    },
};

/// A kind whose one part, `probe`, does nothing.
const PROBE: PartKind = PartKind {
    name: "probe",
    roles: &[],
    parts: Parts::One,
    contribute: |_, _| (),
    describe: |_, _, _| (),
    declare: |_, _| Ok(()),
    ..SHOPS
};

fn made_of(kind: PartKind, view: &HostView<'_>) -> Result<Stack> {
    let api = Blob { key: "0123456789abcdef".to_owned(), size: 1 };
    let folder = Path::new("/nonexistent");
    let passwords = &Scope::Only(Vec::new());
    let address = "37.9.53.237";
    let context = Context { address, folder, binary: folder, api: &api, passwords, memory: None };
    Kinds::builtin().with(kind).stack(view, context, &load_templates(folder)?)
}

fn made(kind: PartKind, roles: &[Role]) -> Result<Stack> {
    let (vars, facts) = (vars(|vars| vars.set(Roles(roles.to_vec()))), debian_13());
    let fleet = Fleet::default();
    made_of(
        kind,
        &HostView {
            vars: &vars,
            facts: &facts,
            fleet: &fleet,
            entry: None,
            folder: Path::new("/nonexistent"),
        },
    )
}

/// The first host of an inventory with this kind.
fn made_from(inventory: &str, kind: PartKind) -> Result<Stack> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    std::fs::write(&path, inventory).unwrap();
    let inventory = load(&Sources::at(&path, Vec::new())).unwrap();
    let host = inventory.select(&["a".to_owned()], None).unwrap().remove(0);
    let (vars, _) = Kinds::builtin().vars(&inventory, &host).unwrap();
    let (facts, fleet) = (Facts::unknown(), Kinds::builtin().fleet(&inventory).unwrap());
    made_of(
        kind,
        &HostView {
            vars: &vars,
            facts: &facts,
            fleet: &fleet,
            entry: Some(&host),
            folder: Path::new("/nonexistent"),
        },
    )
}

fn ids_of(made: &Stack, part: &str) -> Vec<String> {
    let own = made.resources.iter().filter(|declared| declared.tag == part);
    own.map(|declared| declared.resource.id().to_string()).collect()
}

#[test]
fn a_kind_makes_parts_by_their_names() {
    let on_web = made(SHOPS, &[Role::Web]).unwrap();
    let on_redis = made(SHOPS, &[Role::Redis]).unwrap();

    let expected =
        ["packages", "tls", "sites", "nginx", "api", "host", "books", "wine", "firewall"];
    assert_eq!(names(&on_web), expected);
    for shop in ["books", "wine"] {
        assert_eq!(ids_of(&on_web, shop), [format!("directory /srv/{shop}")]);
        assert!(on_web.parts.iter().any(|part| part.name == shop && part.private_ports == [8000]));
    }
    assert!(!names(&on_redis).contains(&"wine"));
}

#[test]
fn an_application_is_led_to_where_its_route_says() {
    let made = made(SHOPS, &[Role::Web]).unwrap();

    let site = text(&made, "/etc/nginx/sites-available/homework");
    for line in [
        "upstream wine {\n    server 127.0.0.1:8000;\n",
        "    location = /wine {\n        return 301 /wine/;\n",
        "    location ^~ /wine/ {\n        access_log /var/log/nginx/wine_access.log api;\n",
        "        client_max_body_size 1024k;\n",
        "        proxy_pass http://wine;\n",
        "error_page 400 403 413 429 500 502 503 504 @refused;\n",
    ] {
        assert!(site.contains(line), "{line:?} is not in {site}");
    }
    assert!(!site.contains("location @wine") && !site.contains("/.refused/wine"), "{site}");
    let nginx = made.parts.iter().find(|part| part.name == "nginx").unwrap();
    assert_eq!(nginx.requires, ["tls", "api", "books", "wine"]);
    assert!(nginx.logs.iter().any(|log| log.name == "wine"));
}

#[test]
fn two_parts_or_restarts_of_one_name_are_refused() {
    let part = PartKind { parts: Parts::Named(|_| vec!["api".to_owned()]), ..PROBE };
    let restart = PartKind {
        describe: |_, _, spec| {
            spec.restarts = vec![Restart {
                name: "nginx".to_owned(),
                label: "nginx".to_owned(),
                method: RestartMethod::Driver,
                in_all: true,
                log: LogSource::Unit("nginx.service".to_owned()),
            }];
        },
        ..PROBE
    };

    for (kind, problem) in [
        (
            part,
            "two parts are called `api`, one is of the kind `api`, the other one of the kind `probe`",
        ),
        (
            restart,
            "two restarts are called `nginx`, one is of the part `nginx`, the other one of the part `probe`",
        ),
    ] {
        let message = message(made(kind, &[Role::Web]));

        let problem: Vec<_> = problem.splitn(2, ", ").collect();
        assert!(problem.iter().all(|text| message.contains(text)), "{message}");
    }
}

#[test]
fn routes_in_each_others_way_are_refused_with_their_places() {
    let inventory =
        "all:\n  hosts: { a: }\n  vars:\n    sites:\n      docs: { path: PATH, root: /srv/docs }\n";
    for (path, problem) in [
        ("/wine", "two routes have the path `/wine`"),
        ("/wine/red", "`/wine/red` lies below `/wine`, which is an application's"),
    ] {
        let message = message(made_from(&inventory.replace("PATH", path), SHOPS));

        assert!(message.contains(problem), "{message}");
        assert!(message.contains("inventory.yaml:5:"), "{message}");
        assert!(
            message.contains("the part `sites` (") && message.contains("the part `wine`"),
            "{message}"
        );
    }
    let named = inventory.replace("docs", "wine").replace("PATH", "/docs");
    let message = message(made_from(&named, SHOPS));
    assert!(message.contains("two routes are called `wine`"), "{message}");
}

#[test]
fn two_parts_on_one_port_are_refused_with_their_places() {
    let kind = PartKind { contribute: |_, offered| offered.add_port(7000, None), ..PROBE };
    let inventory = "all:\n  hosts: { a: }\n  vars:\n    redis: { port: 7000 }\n";

    let message = message(made_from(inventory, kind));

    assert!(message.contains("two parts would listen on port 7000"), "{message}");
    assert!(
        message.contains("the part `redis` (") && message.contains("inventory.yaml:4:"),
        "{message}"
    );
    assert!(message.contains("the part `probe`"), "{message}");
}

#[test]
fn a_part_on_a_port_of_sshd_is_refused() {
    let kind = PartKind { contribute: |_, offered| offered.add_port(22, None), ..PROBE };

    let message = message(made(kind, &[Role::Redis]));

    assert!(
        message.contains("the part `probe` cannot have port 22: sshd listens there"),
        "{message}"
    );
}

#[test]
fn what_no_part_takes_is_refused() {
    let kind = PartKind { roles: &[], ..SHOPS };

    let failure = Failure::from(made(kind, &[Role::Redis]).unwrap_err());

    let expected = "the part `books` offers the route `/books`, and no part of the host takes it";
    assert_eq!(failure.what, expected);
    assert_eq!(failure.hint.as_deref(), Some("`nginx` would: it comes with `web` in `roles`"));
}

#[test]
fn what_two_parts_want_alike_is_shared() {
    let kind = PartKind {
        declare: |_, builder| builder.shared_directory("/etc/hwctl", 0o755).map(drop),
        ..PROBE
    };

    let made = made(kind, &[Role::Web, Role::Redis]).unwrap();

    let folder =
        made.resources.iter().find(|d| d.resource.id().to_string() == "directory /etc/hwctl");
    let folder = folder.unwrap();
    assert_eq!(folder.parts().collect::<Vec<_>>(), ["redis", "api", "probe"]);
    let only = |part: &str| Scope::Only(vec![part.to_owned()]).means(folder);
    assert_eq!(["redis", "probe", "nginx"].map(only), [true, true, false]);
    let without = |parts: &[&str]| {
        Scope::Except(parts.iter().map(|part| (*part).to_owned()).collect()).means(folder)
    };
    assert!(without(&["redis"]) && !without(&["redis", "api", "probe"]));
}

#[test]
fn what_two_parts_want_differently_is_refused() {
    let kind = PartKind {
        declare: |_, builder| builder.shared_directory("/etc/hwctl", 0o700).map(drop),
        ..PROBE
    };

    let message = message(made(kind, &[Role::Web]));

    assert!(message.contains("`directory /etc/hwctl` would be made in two ways"), "{message}");
    assert!(message.contains("the parts `api` and `probe` declare it differently"), "{message}");
}

#[test]
fn what_one_part_has_travels_as_it_always_has() {
    let directory = Directory::new("/srv", 0o755, Owner::root());
    let mut declared = Declared::new("probe", directory);

    let alone = encode(&declared).unwrap();
    declared.share_with("probe");
    let unchanged = encode(&declared).unwrap();
    declared.share_with("api");
    let shared = encode(&declared).unwrap();

    assert_eq!(alone, unchanged);
    assert!(!alone.windows(11).any(|bytes| bytes == b"shared_with"));
    assert_eq!(decode::<Declared>(&shared).unwrap(), declared);
}

#[test]
fn a_part_sees_all_hosts_of_the_inventory() {
    let kind = PartKind {
        declare: |_, builder| {
            for peer in &builder.fleet.hosts {
                let roles: Vec<_> = peer.roles.iter().map(|role| role.name()).collect();
                let path = format!("/srv/{}/{}/{}", peer.name, peer.address, roles.join("-"));
                builder.directory(path, 0o755);
            }
            Ok(())
        },
        ..PROBE
    };
    let inventory = "all:\n  hosts: { a: , b: { ansible_host: 192.0.2.7 } }\n  children:\n    data: { hosts: { c: }, vars: { roles: [redis] } }\n";

    let made = made_from(inventory, kind).unwrap();

    let expected = ["/srv/a/a/web-redis", "/srv/b/192.0.2.7/web-redis", "/srv/c/c/redis"];
    assert_eq!(ids_of(&made, "probe"), expected.map(|path| format!("directory {path}")));
}
