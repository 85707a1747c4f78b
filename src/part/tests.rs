//! What the stack renders for each release, and what it refuses.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;

use super::*;
use crate::failure::Failure;
use crate::inventory::{Sources, Vars, load};
use crate::resource::Facts;
use crate::resource::{Blob, Content, File, Part, Resource, Version};
use crate::spec::ProbeKind;

/// The passwords that the inventory has to give, by settings.
const PASSWORDS: [&str; 2] = [
    "sites.site2.users={ admin: planted-1 }",
    "api.users={ admin: planted-2, other.user: planted-3 }",
];

/// The variables of a host with these settings besides the passwords.
pub(super) fn try_vars_with(sets: &[&str]) -> Result<Vars, Failure> {
    let sets = PASSWORDS.iter().chain(sets).map(|set| (*set).to_owned()).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    fs::write(&path, "all: { hosts: { vm1: } }").unwrap();
    let inventory = load(&Sources::at(&path, sets))?;
    let host = inventory.select(&["vm1".to_owned()], None)?.remove(0);
    Ok(Kinds::builtin().vars(&inventory, &host)?.0)
}

pub(super) fn vars_with(sets: &[&str]) -> Vars {
    try_vars_with(sets).unwrap()
}

/// Changes a site of a host.
fn site(vars: &mut Vars, name: &str, change: impl FnOnce(&mut Site)) {
    let mut sites = vars.get::<Sites>().clone();
    change(sites.0.get_mut(name).unwrap());
    vars.set(sites);
}

/// The variables of a host, with a change to what was read.
pub(super) fn vars(change: impl FnOnce(&mut Vars)) -> Vars {
    let mut vars = vars_with(&[]);
    change(&mut vars);
    vars
}

fn facts(os: &str, version: &str, nginx: Option<Version>) -> Facts {
    Facts {
        hostname: "VM1".to_owned(),
        os: os.to_owned(),
        os_version: version.to_owned(),
        os_name: format!("{os} {version}"),
        arch: "x86_64".to_owned(),
        cpus: 2,
        memory_kib: 2_000_000,
        container: false,
        ipv6: true,
        ssh_ports: vec![22],
        ssh_client: None,
        known_by: Vec::new(),
        interfaces: vec!["eth0".to_owned()],
        packages: [("nginx".to_owned(), nginx)].into(),
    }
}

pub(super) fn debian_13() -> Facts {
    facts("debian", "13", Some(Version(1, 26, 3)))
}

fn view<'a>(vars: &'a Vars, facts: &'a Facts, fleet: &'a Fleet) -> HostView<'a> {
    HostView { vars, facts, fleet, entry: None, folder: Path::new("/nonexistent") }
}

fn made_in(vars: &Vars, facts: &Facts, folder: &Path) -> Result<Stack> {
    let api = Blob { key: "0123456789abcdef".to_owned(), size: 1 };
    let binary = Path::new("/usr/local/lib/hwctl/hwctl");
    let context = Context {
        address: "37.9.53.237",
        folder,
        binary,
        api: &api,
        passwords: &Scope::All,
        memory: None,
    };
    let templates = load_templates(&folder.join("templates"))?;
    Kinds::builtin().stack(&view(vars, facts, &Fleet::default()), context, &templates)
}

pub(super) fn made(vars: &Vars, facts: &Facts) -> Result<Stack> {
    made_in(vars, facts, Path::new("/nonexistent"))
}

pub(super) fn text(stack: &Stack, path: &str) -> String {
    let file = stack.render().into_iter().find(|file| file.path == Path::new(path));
    file.unwrap_or_else(|| panic!("no file `{path}`")).text.unwrap()
}

pub(super) fn message(made: Result<Stack>) -> String {
    let failure = Failure::from(made.expect_err("is refused"));
    format!("{failure} {}", failure.why.join(" "))
}

#[test]
fn operators_with_other_addresses_agree_on_the_names() {
    let names = |known_by: &[String], address: &str| {
        let facts = Facts { known_by: known_by.to_vec(), ..debian_13() };
        tls::names(&vars(|_| ()), &facts, address).unwrap()
    };

    let first = names(&[], "203.0.113.7");
    let second = names(&first.known_by, "vm1.example.org");
    let third = names(&second.known_by, "203.0.113.7");

    assert_eq!(first.certificate, ["203.0.113.7", "vm1"]);
    assert_eq!(second.certificate, ["203.0.113.7", "vm1.example.org", "vm1"]);
    assert_eq!(third.certificate, second.certificate);
}

#[test]
fn the_site_for_each_nginx() {
    for (os, version, nginx) in [
        ("debian", "12", Version(1, 22, 1)),
        ("ubuntu", "24.04", Version(1, 24, 0)),
        ("debian", "13", Version(1, 26, 3)),
    ] {
        let told = made(&vars(|_| ()), &facts(os, version, Some(nginx))).unwrap();
        let site = text(&told, "/etc/nginx/sites-available/homework");
        insta::assert_snapshot!(format!("homework-{os}-{version}"), site);
        // A host that cannot say its version yet gets the same.
        let guessed = made(&vars(|_| ()), &facts(os, version, None)).unwrap();
        assert_eq!(guessed.resources, told.resources);
    }
}

#[test]
fn an_unknown_release_gets_what_every_nginx_takes() {
    let made = made(&vars(|_| ()), &facts("mint", "99", None)).unwrap();
    let site = text(&made, "/etc/nginx/sites-available/homework");
    assert!(site.contains("listen 443 ssl http2;") && !site.contains("http2 on;"), "{site}");
}

#[test]
fn without_ipv6_nothing_listens_on_it() {
    let made = made(&vars(|_| ()), &Facts { ipv6: false, ..debian_13() }).unwrap();
    assert!(!text(&made, "/etc/nginx/sites-available/homework").contains("listen [::]"));
}

#[test]
fn units_settings_and_the_rest() {
    let made = made(&vars(|_| ()), &debian_13()).unwrap();
    for path in [
        "/etc/nginx/nginx.conf",
        "/etc/nginx/.htpasswd",
        "/etc/systemd/system/flask-app.service",
        "/etc/systemd/system/flask-app.socket",
        "/etc/hwctl/api/env",
        "/etc/hwctl/redis/redis.conf",
        "/etc/sysctl.d/60-hwctl.conf",
        "/etc/ufw/after.rules",
        "/etc/logrotate.d/nginx",
        "/var/www/main/index.html",
        "/var/www/site1/index.html",
        "/var/www/site2/index.html",
    ] {
        insta::assert_snapshot!(path.trim_start_matches('/').replace('/', "_"), text(&made, path));
    }
    let mut list = String::new();
    for declared in &made.resources {
        writeln!(list, "{}: {}", declared.tag, declared.resource.id()).unwrap();
    }
    insta::assert_snapshot!("resources", list);
}

#[test]
fn every_part_has_a_tag_that_only_and_skip_know() {
    let made = made(&vars(|_| ()), &debian_13()).unwrap();
    let mut tags: Vec<&str> = made.resources.iter().map(|d| d.tag.as_str()).collect();
    tags.dedup();
    assert_eq!(tags, made.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>());
}

#[test]
fn inputs_come_before_what_is_started_with_them() {
    let made = made(&vars(|_| ()), &debian_13()).unwrap();
    let mut seen = HashSet::new();
    for declared in &made.resources {
        let inputs = match &declared.resource {
            Resource::Unit(unit) => unit.inputs.as_slice(),
            Resource::Container(container) => &container.inputs,
            Resource::Firewall(firewall) => &firewall.inputs,
            _ => &[],
        };
        for input in inputs {
            assert!(seen.contains(input), "{input} comes after {}", declared.resource.id());
        }
        seen.insert(declared.resource.id());
    }
}

#[test]
fn a_port_for_one_network_is_in_the_guard_of_its_family() {
    let with_allow = |allow: &str| vars_with(&[&format!("firewall.allow={allow}")]);
    let allow = "[{ port: 80/tcp }, { port: 8080/tcp, from: 10.1.0.0/16 }, { port: 53/udp, from: '2001:db8::7' }]";
    let made = made(&with_allow(allow), &debian_13()).unwrap();
    let rule = |from: &str, port: &str| format!("-A DOCKER-USER{from} -p {port} -j RETURN\n");
    let v4 = rule(" -s 10.1.0.0/16", "tcp -m conntrack --ctstate DNAT --ctorigdstport 8080");
    let v6 = rule(" -s 2001:db8::7/128", "udp -m conntrack --ctstate DNAT --ctorigdstport 53");
    let both = rule("", "tcp -m conntrack --ctstate DNAT --ctorigdstport 80");

    for (path, own, other) in [("after.rules", &v4, &v6), ("after6.rules", &v6, &v4)] {
        let text = text(&made, &format!("/etc/ufw/{path}"));

        assert!(text.contains(own) && text.contains(&both) && !text.contains(other), "{text}");
    }
}

#[test]
fn ssh_is_open_from_where_the_inventory_says_if_that_lets_the_session_in() {
    let firewall = |allow: &str, client: &str| {
        let vars = vars_with(&[&format!("firewall.allow={allow}")]);
        let facts = Facts { ssh_client: Some(client.parse().unwrap()), ..debian_13() };
        let made = made(&vars, &facts)?;
        let firewall = made.resources.iter().find_map(|declared| match &declared.resource {
            Resource::Firewall(firewall) => Some(firewall.allow.clone()),
            _ => None,
        });
        Ok::<_, anyhow::Error>(firewall.expect("a firewall"))
    };
    let narrow = "[{ port: 22/tcp, from: 10.0.0.0/8 }]";

    let by_default = firewall("[]", "10.9.8.7").unwrap();
    let declared = firewall(narrow, "10.9.8.7").unwrap();
    let refused = firewall(narrow, "192.0.2.7").unwrap_err();

    assert_eq!(by_default[0].to_string(), "22/tcp");
    assert_eq!(by_default[0].enough_for, Some("10.9.8.7".parse().unwrap()));
    assert_eq!(
        declared.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["22/tcp from 10.0.0.0/8"]
    );
    assert!(refused.to_string().contains("comes from 192.0.2.7"), "{refused:#}");
}

#[test]
fn passwords_are_places_and_never_text() {
    let made = made(&vars(|_| ()), &debian_13()).unwrap();
    assert!(!format!("{made:?}").contains("planted"));
    let shown: Vec<_> = made.render().into_iter().filter_map(|file| file.text).collect();
    assert!(!shown.concat().contains("planted"));
    let hashes = |path: &str| {
        let found = made.resources.iter().find_map(|declared| match &declared.resource {
            Resource::File(File { path: p, content: Content::Parts(parts), .. })
                if p == Path::new(path) =>
            {
                Some(parts.iter().filter(|part| matches!(part, Part::Hash { .. })).count())
            }
            _ => None,
        });
        found.unwrap()
    };
    assert_eq!(hashes("/etc/nginx/.htpasswd"), 1);
    assert_eq!(hashes("/etc/hwctl/api/env"), 2);
}

#[test]
fn ports_and_packages_follow_the_facts() {
    let facts = Facts { ssh_ports: vec![2222, 22], ..debian_13() };
    let made_13 = made(&vars(|_| ()), &facts).unwrap();
    let firewall = made_13.resources.iter().find_map(|declared| match &declared.resource {
        Resource::Firewall(firewall) => Some(firewall),
        _ => None,
    });
    let ports: Vec<_> = firewall.unwrap().allow.iter().map(|port| port.number).collect();
    assert_eq!(ports, [22, 80, 443, 2222]);
    let packages = |os: &str, version: &str| {
        let made = made(&vars(|_| ()), &super::tests::facts(os, version, None)).unwrap();
        format!("{:?}", made.resources[0])
    };
    assert!(packages("debian", "13").contains("docker-cli"));
    assert!(packages("debian", "").contains("docker-cli"));
    assert!(!packages("debian", "12").contains("docker-cli"));
    assert!(!packages("ubuntu", "24.04").contains("docker-cli"));
}

#[test]
fn a_source_folder_is_uploaded() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("pages/img/deep")).unwrap();
    fs::write(folder.path().join("pages/index.html"), "{{ not a template }}").unwrap();
    fs::write(folder.path().join("pages/img/deep/a b.png"), [0xff, 0xd8]).unwrap();
    let vars = vars_with(&["sites.site1.source=pages"]);
    let made = made_in(&vars, &debian_13(), folder.path()).unwrap();
    assert_eq!(text(&made, "/var/www/site1/index.html"), "{{ not a template }}");
    assert_eq!(made.uploads.len(), 1);
    let ids: Vec<_> = made.resources.iter().map(|d| d.resource.id().to_string()).collect();
    let at = |id: &str| ids.iter().position(|found| found == id).unwrap();
    assert!(at("directory /var/www/site1/img") < at("directory /var/www/site1/img/deep"));
    assert!(at("directory /var/www/site1/img/deep") < at("file /var/www/site1/img/deep/a b.png"));
    assert!(!ids.contains(&"file /var/www/site1/style.css".to_owned()));
}

#[test]
fn a_site_of_the_operators_own_is_served() {
    let vars = vars(|vars| {
        let mut sites = vars.get::<Sites>().clone();
        let mut site = sites.0["site1"].clone();
        site.path = "/my docs;}/a".to_owned();
        site.root = "/srv/my \"docs\"".into();
        sites.0.insert("docs".to_owned(), site);
        vars.set(sites);
    });
    let made = made(&vars, &debian_13()).unwrap();
    let site = text(&made, "/etc/nginx/sites-available/homework");
    assert!(site.contains("location = \"/my docs;}/a\" {"), "{site}");
    assert!(site.contains(r#"alias "/srv/my \"docs\"/";"#), "{site}");
    assert!(text(&made, "/srv/my \"docs\"/index.html").contains("docs"));
}

#[test]
fn hostile_vars_are_refused() {
    type Hostile = fn(&mut Vars);
    let cases: [(Hostile, &str); 9] = [
        (|v| v.set(ServerNames(vec!["a; return 200".into()])), "server_names"),
        (|v| v.set(ServerNames(vec!["a\nb".into()])), "server_names"),
        (|v| site(v, "site1", |site| site.path = "/a\n}".into()), "served under"),
        (|v| site(v, "site1", |site| site.path = "/a/../b".into()), "served under"),
        (|v| site(v, "site1", |site| site.path = "/a$host".into()), "'$'"),
        (|v| site(v, "site1", |site| site.path = "/flask/x".into()), "an application's"),
        (
            |v| site(v, "site1", |site| site.path = "/close".into()),
            "two routes have the path `/close`",
        ),
        (|v| site(v, "site1", |site| site.root = "/var/www/main".into()), "made twice"),
        (
            |v| {
                let mut sites = v.get::<Sites>().clone();
                sites.0.insert("../x".into(), sites.0["site2"].clone());
                v.set(sites);
            },
            "cannot have that name",
        ),
    ];
    for (change, expected) in cases {
        let message = message(made(&vars(change), &debian_13()));
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
}

#[test]
fn an_inventory_cannot_bring_what_would_need_quoting() {
    for (set, expected) in [
        ("sites.site1.root=\"/var/a\\n\"", "`sites.site1.root` takes an absolute path"),
        ("sites.site1.root=/etc", "`sites.site1.root` cannot be `/etc`"),
        ("app_dir=\"/home/a\\nExecStart=/bin/sh\"", "`app_dir` takes an absolute path"),
        ("app_dir=/home/a:b", "`app_dir` takes an absolute path"),
        ("sites.site2.users={ \"a:b\\nc\": x }", "a name that no user can have"),
        ("api.users={ \"a' b\": x }", "a name that no user can have"),
        ("sites.site2.users_file=../nginx.conf", "takes a file name that begins with `.htpasswd`"),
        ("sites.site2.users_file=.htpasswd/../x", "takes a file name that begins with `.htpasswd`"),
    ] {
        let message = try_vars_with(&[set]).unwrap_err().what;
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
}

#[test]
fn specs_name_what_the_resources_have() {
    let made = made(&vars(|_| ()), &debian_13()).unwrap();
    let ids: Vec<_> =
        made.resources.iter().map(|declared| declared.resource.id().to_string()).collect();
    let endpoints: Vec<_> =
        made.parts.iter().flat_map(|part| &part.endpoints).map(|known| &known.name).collect();
    for part in &made.parts {
        for probe in &part.probes {
            let id = match &probe.kind {
                ProbeKind::Unit => format!("unit {}", probe.name),
                ProbeKind::Container(name) => format!("container {name}"),
                ProbeKind::Certificate { path, .. } => format!("certificate {}", path.display()),
                ProbeKind::Page { endpoint, .. } => {
                    assert!(endpoints.contains(&endpoint), "{endpoint}");
                    continue;
                }
                ProbeKind::Driver => continue,
            };
            assert!(
                ids.contains(&id),
                "the probe `{}` looks at {id}, which nothing makes",
                probe.name
            );
        }
    }
}
