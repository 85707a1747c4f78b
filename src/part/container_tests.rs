//! What the operator's own containers become, and what of them is refused.

use super::tests::{debian_13, made, message, text, try_vars_with, vars_with};
use super::*;
use crate::resource::container::{ENVIRONMENT, LAUNCHER};
use crate::resource::{Container, Content, File, MountSource, Owner, Resource};
use crate::spec::Restart;

fn with(containers: &str) -> Stack {
    made(&vars_with(&[&format!("containers={containers}")]), &debian_13()).unwrap()
}

fn container<'a>(stack: &'a Stack, name: &str) -> &'a Container {
    let found = stack.resources.iter().find_map(|declared| match &declared.resource {
        Resource::Container(container) if container.name == name => Some(container),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("there is no container `{name}`"))
}

fn ids(stack: &Stack) -> Vec<String> {
    stack.resources.iter().map(|declared| declared.resource.id().to_string()).collect()
}

#[test]
fn a_container_has_few_rights_unless_more_are_asked_for() {
    let made = with(
        "{ db: { image: 'postgres:17' }, web: { image: web, capabilities: [CHOWN], read_only: false, tmpfs: [] } }",
    );

    let (db, web) = (container(&made, "db"), container(&made, "web"));

    assert!(db.read_only_root && db.capabilities.is_empty() && db.ports.is_empty());
    assert_eq!(db.tmpfs, [Path::new("/tmp"), Path::new("/run")]);
    assert_eq!((db.memory_mib, db.pids), (256, 256));
    assert!(!web.read_only_root && web.tmpfs.is_empty());
    assert_eq!(web.capabilities, ["CHOWN"]);
    assert!(!db.is_launched && db.mounts.is_empty());
}

#[test]
fn an_environment_with_a_secret_is_a_file_for_the_containers_user() {
    let made = with(
        "{ db: { image: postgres, user: '70:71', env: { A: plain, B: { made: shop }, DB_PASSWORD: planted } } }",
    );

    let db = container(&made, "db");
    let path = "/etc/hwctl/containers/db.env";

    assert!(db.is_launched && db.env.is_empty(), "{db:?}");
    let mounted = |target: &str| {
        let mount = db.mounts.iter().find(|mount| mount.target == Path::new(target)).unwrap();
        assert!(mount.read_only);
        mount.source.clone()
    };
    assert_eq!(mounted(ENVIRONMENT), MountSource::Path(path.into()));
    assert_eq!(mounted(LAUNCHER), MountSource::Path("/usr/local/lib/hwctl/hwctl".into()));
    let file = made.resources.iter().find_map(|declared| match &declared.resource {
        Resource::File(file) if file.path == Path::new(path) => Some(file),
        _ => None,
    });
    let File { mode, owner, content, .. } = file.unwrap();
    assert_eq!((*mode, owner), (0o400, &Owner::new("70", "71")));
    assert!(matches!(content, Content::Parts(_)) && content.is_secret());
    assert!(ids(&made).contains(&"secret shop".to_owned()));
    let shown = text(&made, path);
    assert!(shown.contains("A=\"plain\"\nB=\"<secret shop>\"\n"), "{shown}");
    assert!(shown.contains("DB_PASSWORD=\"<secret containers.db.env.DB_PASSWORD>\""), "{shown}");
    assert!(!format!("{made:?}").contains("planted"));
}

#[test]
fn an_environment_without_a_secret_is_dockers_own() {
    let made = with("{ db: { image: postgres, env: { A: plain, B: 1 } } }");

    let db = container(&made, "db");

    assert!(!db.is_launched);
    let env: Vec<_> = db.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["A=plain", "B=1"]);
}

#[test]
fn docker_is_there_once_for_all_who_need_it_and_only_then() {
    let docker = |stack: &Stack| {
        let unit = stack
            .resources
            .iter()
            .filter(|declared| declared.resource.id().to_string() == "unit docker.service");
        unit.map(|declared| declared.parts().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let web = |containers: &str| {
        let sets = ["roles=[web]", &format!("containers={containers}")];
        made(&vars_with(&sets), &debian_13()).unwrap()
    };

    assert_eq!(docker(&with("{}")), ["redis"]);
    assert_eq!(docker(&with("{ db: { image: x }, ab: { image: x } }")), ["redis ab db"]);
    assert_eq!(docker(&web("{}")), [""; 0]);
    let alone = web("{ db: { image: x } }");
    assert_eq!(docker(&alone), ["db"]);
    let probes = alone.parts.iter().flat_map(|part| &part.probes);
    assert_eq!(probes.filter(|probe| probe.name == "docker.service").count(), 1);
}

#[test]
fn a_port_for_a_network_is_opened_in_both_firewalls_and_no_other_is() {
    let made = with(
        "{ db: { image: x, ports: [5432, { port: 8081, to: 80, from: 10.1.0.0/16 }, { port: 8081, to: 80, from: 10.2.0.0/16 }] } }",
    );

    let guard = text(&made, "/etc/ufw/after.rules");
    for network in ["10.1.0.0/16", "10.2.0.0/16"] {
        let rule = format!("-s {network} -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8081");
        assert!(guard.contains(&rule), "{guard}");
    }
    assert!(!guard.contains("5432"), "{guard}");
    let allowed = made.resources.iter().find_map(|declared| match &declared.resource {
        Resource::Firewall(firewall) => Some(firewall.allow.iter().map(ToString::to_string)),
        _ => None,
    });
    let allowed: Vec<_> = allowed.unwrap().collect();
    assert!(allowed.contains(&"8081/tcp from 10.1.0.0/16".to_owned()), "{allowed:?}");
    let part = made.parts.iter().find(|part| part.name == "db").unwrap();
    assert_eq!((&part.private_ports[..], &part.open_ports[..]), (&[5432][..], &[8081][..]));
}

#[test]
fn containers_come_after_those_that_they_depend_on() {
    let made = with(
        "{ aa: { image: x, depends: [bb] }, bb: { image: x, depends: [cc] }, cc: { image: x } }",
    );

    let order: Vec<_> = ids(&made).into_iter().filter(|id| id.starts_with("container ")).collect();

    assert_eq!(order, ["container redis-flask", "container cc", "container bb", "container aa"]);
    let part = made.parts.iter().find(|part| part.name == "aa").unwrap();
    assert_eq!(part.requires, ["bb"]);
    let restarts: Vec<&Restart> = part.restarts.iter().collect();
    assert_eq!(restarts[0].name, "aa");
}

#[test]
fn an_image_of_two_is_brought_once() {
    let made = with("{ aa: { image: 'redis:7-alpine' }, bb: { image: x }, cc: { image: x } }");

    let images: Vec<_> = ids(&made).into_iter().filter(|id| id.starts_with("image ")).collect();

    assert_eq!(images, ["image redis:7-alpine", "image x"]);
}

#[test]
fn what_two_would_have_is_refused() {
    for (containers, expected) in [
        ("{ db: { image: x, ports: [6379] } }", "two parts would listen on port 6379"),
        (
            "{ aa: { image: x, ports: [1] }, bb: { image: x, ports: [1] } }",
            "two parts would listen on port 1",
        ),
        ("{ nginx: { image: x } }", "two parts are called `nginx`"),
        ("{ redis-flask: { image: x } }", "two parts would have the container `redis-flask`"),
        (
            "{ db: { image: x, volumes: ['flask-app_redis-data:/x'] } }",
            "two parts would have the volume",
        ),
    ] {
        let vars = vars_with(&[&format!("containers={containers}")]);

        let told = message(made(&vars, &debian_13()));

        assert!(told.contains(expected), "{expected:?} is not in {told}");
    }
}

#[test]
fn mistakes_are_refused_with_the_path_of_the_setting() {
    for (containers, expected) in [
        ("{ db: {} }", "`containers.db` lacks `image`"),
        ("{ db: { image: 'A B' } }", "`containers.db.image` takes an image"),
        ("{ d: { image: x } }", "`d` is not usable as the name of a container"),
        (
            "{ db: { image: x, ports: [22] } }",
            "`containers.db.ports` cannot have 22: that port is ssh's",
        ),
        (
            "{ db: { image: x, ports: [{ port: 443, from: 10.0.0.0/8 }] } }",
            "cannot have 443: that port is nginx's",
        ),
        ("{ db: { image: x, ports: [x] } }", "`containers.db.ports[0]` takes a port such as 5432"),
        (
            "{ db: { image: x, ports: [80, { port: 80, to: 8080 }] } }",
            "`containers.db.ports` has 80 in two ways",
        ),
        (
            "{ db: { image: x, volumes: ['/srv/x:/x'] } }",
            "`containers.db.volumes[0]` takes a volume",
        ),
        (
            "{ db: { image: x, volumes: ['data:/x', 'other:/x'] } }",
            "`containers.db` has two things at `/x`",
        ),
        ("{ db: { image: x, volumes: ['data:/.hwctl/x'] } }", "has two things at `/.hwctl/x`"),
        ("{ db: { image: x, volumes: [{ target: /x }] } }", "takes one of `volume` and `path`"),
        (
            "{ db: { image: x, volumes: [{ path: /srv/x, volume: data, target: /x }] } }",
            "takes one of",
        ),
        (
            "{ db: { image: x, volumes: [{ path: /etc, target: /x }] } }",
            "it is a folder of the system",
        ),
        (
            "{ db: { image: x, volumes: [{ path: /var/www/main/x, target: /x }] } }",
            "`sites.main.root` overlap",
        ),
        ("{ db: { image: x, user: postgres } }", "`containers.db.user` takes the number of a user"),
        ("{ db: { image: x, memory: 1M } }", "`containers.db.memory` takes an amount of memory"),
        ("{ db: { image: x, depends: [cache] } }", "names `cache`, and there is no such container"),
        ("{ db: { image: x, depends: [db] } }", "`containers.db.depends` leads in a circle"),
        (
            "{ aa: { image: x, depends: [bb] }, bb: { image: x, depends: [aa] } }",
            "leads in a circle",
        ),
        (
            "{ db: { image: x, capabilities: [ALL] } }",
            "`containers.db.capabilities[0]` takes a capability",
        ),
        (
            "{ db: { image: x, networks: [host] } }",
            "`containers.db.networks[0]` takes the name of a network",
        ),
        (
            "{ db: { image: x, registry: { user: u } } }",
            "`containers.db.registry` lacks `password`",
        ),
        ("{ db: { image: x, command: 'sh -c' } }", "`containers.db.command` takes a list"),
        ("{ db: { image: x, prots: [1] } }", "unknown key `prots` in `containers.db`"),
    ] {
        let failure = try_vars_with(&[&format!("containers={containers}")]).unwrap_err();

        let told = format!("{failure} {}", failure.why.join(" "));
        assert!(told.contains(expected), "{expected:?} is not in {told}");
    }
}
