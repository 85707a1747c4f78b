//! What hwctl makes of inventories, good and bad: values, places, messages.

use std::path::Path;

use hwctl::failure::Failure;
use hwctl::inventory::{Inventory, Sources, Vars, Warning, load};

/// Compares with a snapshot that holds the messages alone.
macro_rules! shows {
    ($text:expr) => {
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!($text) })
    };
}

/// Reads a text as `inventory.yaml` of an empty folder and gives the vars of its first host.
fn vars_with(text: &[u8], sets: &[&str]) -> Result<(Vars, Vec<Warning>), Failure> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    std::fs::write(&path, text).unwrap();
    let result = read(&path, sets);
    result.map_err(|failure| without(&failure, folder.path()))
}

fn read(path: &Path, sets: &[&str]) -> Result<(Vars, Vec<Warning>), Failure> {
    let inventory = open(path, sets)?;
    let hosts = inventory.select(&[], None)?;
    inventory.vars(&hosts[0])
}

fn open(path: &Path, sets: &[&str]) -> Result<Inventory, Failure> {
    let sets = sets.iter().map(|set| (*set).to_owned()).collect();
    load(&Sources { path: Some(path.to_owned()), sets })
}

/// Takes the folder's path, which differs each time, out of a failure.
fn without(failure: &Failure, folder: &Path) -> Failure {
    let folder = format!("{}/", folder.display());
    let text = serde_json::to_string(failure).unwrap().replace(&folder, "");
    serde_json::from_str(&text).unwrap()
}

/// A failure as it is told.
fn told(failure: &Failure) -> String {
    let mut lines = vec![failure.what.clone()];
    lines.extend(failure.why.iter().cloned());
    lines.extend(failure.hint.iter().map(|hint| format!("hint: {hint}")));
    lines.join("\n")
}

/// What is said about an inventory with these lines below `vars`.
fn wrong(vars: &str) -> String {
    let vars = format!("    {}\n", vars.replace('\n', "\n    "));
    whole(&format!(
        "all:\n  hosts: {{ vm1: }}\n  vars:\n    x_users: &u {{ admin: hunter2 }}\n{vars}"
    ))
}

fn whole(text: &str) -> String {
    match vars_with(text.as_bytes(), &["api.users.admin=s3cret", "sites.site2.users.admin=s3cret"])
    {
        Ok(_) => "nothing".to_owned(),
        Err(failure) => {
            let told = told(&failure);
            assert!(!told.contains("hunter2") && !told.contains("s3cret"), "{told}");
            assert_eq!(failure.exit, hwctl::failure::Exit::Usage);
            told
        }
    }
}

/// Several messages in one snapshot.
fn all_wrong(cases: &[&str]) -> String {
    cases.iter().map(|case| wrong(case)).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn unknown_names_are_told_with_the_nearest() {
    shows!(all_wrong(&[
        "redis: { prot: 6380 }",
        "server_name: [a.b]",
        "colour: red",
        "ansible_usr: ubuntu",
        "sites: { site2: { user: {} } }",
        "tls:\n  mode: self-signed\n  renew-before: 3",
    ]));
}

#[test]
fn wrong_types_say_what_is_taken() {
    shows!(all_wrong(&[
        "redis: { port: '6379' }",
        "redis: 6379",
        "server_names: www.example.com",
        "firewall: { exclusive: 'maybe' }",
        "tls: { days: 3.5 }",
        "api: { workers: many }",
        "sites: [a, b]",
        "logrotate: { every: hourly }",
        "firewall: { allow: [80] }",
        "ansible_port: ssh",
    ]));
}

#[test]
fn values_that_make_no_sense_are_refused() {
    shows!(all_wrong(&[
        "app_dir: home/ubuntu",
        "app_dir: /srv/../etc",
        "sites: { main: { root: '/var/www;rm' } }",
        "sites: { main: { path: /home } }",
        "sites: { main: null }",
        "sites: { new: { path: /open, root: /var/www/new } }",
        "sites: { new: { path: /flask/x, root: /var/www/new } }",
        "sites: { new: { path: /new } }",
        "sites: { Neu: { path: /new, root: /x } }",
        "sites: { site1: { allow: [10.0.0.0/33] } }",
        "sites: { site1: { source: ./nothing } }",
        "tls: { days: 400 }",
        "tls: { days: 20 }",
        "redis: { port: 70000 }",
        "redis: { container: 'a b' }",
        "redis: { image: 'redis:7 alpine' }",
        "server_names: ['a b', '*.x']",
        "firewall: { allow: [80/icmp] }",
        "api: { token_ttl: 0 }",
        "ansible_host: -oProxyCommand=x",
    ]));
}

#[test]
fn passwords_never_show() {
    shows!(all_wrong(&[
        "sites: { site1: { users: { 'a:b': hunter2, admin: hunter2 } } }",
        "sites: { site1: { users: { admin: 12345 } } }",
        "sites: { site1: { users: { admin: } } }",
        "sites: { site1: { users: { admin: \"hunter2\\n\" } } }",
        "sites: { site1: { users: { admin: '' } } }",
        "sites: { site1: { users: [admin, hunter2] } }",
        "sites: { site1: { users: { admin: { evn: hunter2 } } } }",
        "sites: { site1: { users: { admin: { env: HWCTL_IS_NOT_SET } } } }",
        "sites: { site1: { users: { admin: { file: nothing/there } } } }",
        "sites: { site1: { users: { admin: { command: [sh, -c, 'echo hunter2; echo no >&2; exit 3'] } } } }",
        "sites: { site1: { users: { admin: { command: 'not-a-program x' } } } }",
        "sites: { site1: { users: { admin: { command: \"sh 'x\" } } } }",
        "sites: { site1: { users: { admin: '{{ vault_password }}' } } }",
        "sites: { site1: { users: *u, hunter: 1 } }",
        "api: { usres: { admin: hunter2 } }",
        "api: { people: { admin: hunter2 } }",
        "apo: { users: { admin: hunter2 } }",
        "ansible_sudo: hunter2",
        "sites: { site1: { users: { a: hunter2, a: hunter2, b: hunter2 } } }",
        "sites: { site1: { users: { a: hunter2, [b]: hunter2, c: hunter2 } } }",
        "x_password: hunter2\nsites: { site1: { users: { admin: hunter2 }, roots: 1 } }",
    ]));
}

#[test]
fn broken_structure_is_told_with_its_place() {
    let cases = [
        "",
        "# nothing\n",
        "- a\n- b\n",
        "[webservers]\nweb1 ansible_host=10.0.0.1\n",
        "all:\n  host: { vm1: }\n",
        "all:\n  hosts: [vm1]\n",
        "all:\n  hosts: { vm1: web }\n",
        "all: 5\n",
        "all: { hosts: { a: }, var: { api: { users: { admin: hunter2 } } } }\n",
        "all:\n  hosts: { 'w[3:1]': }\n",
        "all:\n  hosts: { 'a b': }\n",
        "all:\n  hosts: { a: , a: }\n",
        "all:\n  vars: { redis: { port: 1, port: 2 } }\n  hosts: { a: }\n",
        "a: { children: { b: { children: { a: } } } }\n",
        "a: { children: { a: } }\n",
        "a: { hosts: { b: } }\nb: { hosts: { c: } }\n",
        "a: { vars: { ansible_group_priority: high } }\n",
        "all:\n\thosts: { a: }\n",
        "all:\n  hosts: { a: { x_pw: hunter2 }\n",
        "all:\n  vars: { x_a: *b }\n",
        "all: {}\n---\nall: {}\n",
        "all:\n  vars: { x_a: !vault hunter2 }\n",
        "all:\n  vars: { x_a: !other hunter2 }\n",
        "all:\n  vars: { x_a: { <<: 5 } }\n",
        "all:\n  vars: { [a, b]: 5 }\n",
        "plugin: amazon.aws.aws_ec2\n",
        "all:\n  vars: { a: 1 }\n",
    ];
    shows!(cases.map(whole).join("\n\n"));
}

#[test]
fn several_mistakes_are_told_at_once() {
    shows!(wrong("redis:\n  prot: 1\n  image: 5\n\ntls: { days: 0 }\nsites:\n  x: {}"));
    shows!(wrong("redsi: {}\nsite: {}\nansible_prot: 22"));
}

#[test]
fn no_password_is_built_in() {
    let failure = vars_with(b"all: { hosts: { vm1: } }", &[]).unwrap_err();
    shows!(told(&failure));
}

#[test]
fn hostile_files_end_soon_and_are_named() {
    let more = |n: u8| format!("  x_{n}: &x{n} [{}]\n", vec![format!("*x{}", n - 1); 9].join(", "));
    let laughs = (1..12).map(more).collect::<Vec<_>>().concat();
    let laughs = format!("all:\n vars:\n  x_0: &x0 [a]\n{laughs}");
    let deep = format!("all: {}1{}", "[".repeat(5000), "]".repeat(5000));
    let deep_maps = (0..200).map(|n| " ".repeat(n) + "a:\n").collect::<Vec<_>>().concat();
    let cases: [&[u8]; 8] = [
        laughs.as_bytes(),
        deep.as_bytes(),
        deep_maps.as_bytes(),
        b"\x7fELF\x02\x01\x01\x00\xff\xfe",
        b"all: { hosts: { \"a\\u0000b\": } }",
        b"\xef\xbb\xbfall: { hosts: { vm1: }, var: {} }",
        "all: { hosts: { vm1: }, vars: { größe: 1 } }".as_bytes(),
        b"all: { vars: { x_self: &a [*a] } }",
    ];
    let cases = cases.map(|case| match vars_with(case, &[]) {
        Ok(_) => "nothing".to_owned(),
        Err(failure) => told(&failure),
    });
    shows!(cases.join("\n\n"));
}

#[test]
fn a_path_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let said = |name: &str| match open(&folder.path().join(name), &[]) {
        Ok(_) => "nothing".to_owned(),
        Err(failure) => told(&without(&failure, folder.path())),
    };
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    shows!([said("missing.yaml"), said("empty")].join("\n\n"));
}

/// Lines below `all.vars` with both passwords given.
fn good(vars: &str, sets: &[&str]) -> Vars {
    let sets = [&["api.users.admin=one", "sites.site2.users.admin=two"], sets].concat();
    vars_with(format!("all: {{ hosts: {{ vm1: }}, vars: {vars} }}").as_bytes(), &sets).unwrap().0
}

#[test]
fn the_example_is_the_defaults_and_its_two_passwords() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory.yaml");
    let (example, warnings) = read(&example, &[]).unwrap();
    let sets = ["api.users.admin=password", "sites.site2.users.admin=homework"];
    let (defaults, _) = vars_with(b"all: { hosts: { vm1: } }", &sets).unwrap();
    assert_eq!(example, defaults);
    let warnings: Vec<_> = warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "`sites.site2.users.admin` has the password of the example, which everybody knows",
            "`api.users.admin` has the password of the example, which everybody knows",
        ]
    );
}

#[test]
fn defaults_lie_below_and_null_means_the_default() {
    let vars = good("{ redis: { port: 6380, image: null }, tls: null, server_names: [a.b] }", &[]);
    assert_eq!((vars.redis.port, vars.redis.image.as_str()), (6380, "redis:7-alpine"));
    assert_eq!((vars.tls.days, vars.server_names), (90, vec!["a.b".to_owned()]));
}

#[test]
fn a_site_is_added_changed_and_removed() {
    let vars = good("{ sites: { site1: null, new: { path: /new, root: /srv/new/ } } }", &[]);
    let names: Vec<_> = vars.sites.keys().map(String::as_str).collect();
    assert_eq!(names, ["main", "new", "site2"]);
    assert_eq!(vars.sites["site2"].allow.len(), 3);
    assert_eq!(vars.sites["new"].root, Path::new("/srv/new"));
    assert!(vars.sites["new"].users.is_empty());
    let vars = good("{ sites: { site2: { users: {}, allow: [10.0.0.0/8] } } }", &[]);
    assert_eq!(vars.sites["site2"].allow[0].as_str(), "10.0.0.0/8");
}

#[test]
fn a_setting_beats_the_inventory() {
    let sets = ["redis.port=7000", "firewall.allow=[8080/tcp]", "server_names=[x.y]"];
    let vars = good("{ redis: { port: 6380, volume: data } }", &sets);
    assert_eq!((vars.redis.port, vars.redis.volume.as_str()), (7000, "data"));
    assert_eq!(vars.firewall.allow[0].to_string(), "8080/tcp");
    let text = b"all: { hosts: { vm1: }, vars: { redis: 5 } }";
    let said = |set: &str| told(&vars_with(text, &[set]).unwrap_err());
    let sets = ["redis.port=1", "redis.port", "a..b=1", "redsi.port=1", "tls={", "ansible_port=x"];
    shows!(sets.map(said).join("\n\n"));
}

#[test]
fn passwords_are_found_where_they_are_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    std::fs::write(folder.path().join("secrets/one"), "from a file\n").unwrap();
    let text = "
all:
  hosts: { vm1: }
  vars:
    sites: { site2: { users: {} } }
    api:
      users:
        literal: 'it is: \"so\" $HOME'
        env: { env: CARGO_PKG_NAME }
        file: { file: secrets/one }
        list: { command: [printf, '%s', '$HOME; x'] }
        line: { command: \"printf '%s\\n' 'a b' \" }
        here: { command: cat secrets/one }
";
    std::fs::write(&path, text).unwrap();
    let (vars, warnings) = read(&path, &[]).unwrap();
    let found = vars.api.users.iter().map(|(name, secret)| (name.as_str(), secret.expose()));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            ("env", "hwctl"),
            ("file", "from a file"),
            ("here", "from a file"),
            ("line", "a b"),
            ("list", "$HOME; x"),
            ("literal", "it is: \"so\" $HOME"),
        ]
    );
    assert_eq!(warnings, []);
}

/// Twice asked for, once run: a command may have a person type something.
#[test]
fn a_command_runs_once_for_all_hosts_and_not_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    let text = "
all:
  hosts: { 'vm[1:3]': }
  vars:
    sites: { site2: { users: {} } }
    api: { users: { admin: { command: [sh, -c, 'echo x >> runs; echo s3cret'] } } }
";
    std::fs::write(&path, text).unwrap();
    let inventory = open(&path, &[]).unwrap();
    let hosts = inventory.select(&[], None).unwrap();
    let runs = || std::fs::read_to_string(folder.path().join("runs")).unwrap_or_default();
    assert_eq!(runs(), "");
    for host in hosts {
        inventory.vars(&host).unwrap();
    }
    assert_eq!(runs(), "x\n");
}

const FLEET: &str = "
all:
  hosts: { lone: }
  vars: { ansible_user: ubuntu }
  children:
    web:
      hosts: { 'web[1:3]': }
      vars: { ansible_port: 2222 }
    db:
      hosts: { db1: { ansible_host: 10.0.0.9 }, web3: }
    both: { children: { web: , db: } }
";

fn fleet() -> (tempfile::TempDir, Inventory) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    std::fs::write(&path, FLEET).unwrap();
    let inventory = open(&path, &[]).unwrap();
    (folder, inventory)
}

#[test]
fn patterns_are_ansibles() {
    let (_folder, inventory) = fleet();
    let chosen = |limit: &str| match inventory.select(&[], Some(limit)) {
        Ok(hosts) => hosts.into_iter().map(|host| host.name).collect::<Vec<_>>().join(" "),
        Err(failure) => told(&failure),
    };
    for (limit, expected) in [
        ("all", "lone web1 web2 web3 db1"),
        ("*", "lone web1 web2 web3 db1"),
        ("web", "web1 web2 web3"),
        ("web*", "web1 web2 web3"),
        ("web[12]", "`web[12]` counts past its 3 hosts"),
        ("web?:!web2", "web1 web3"),
        ("both:&db", "web3 db1"),
        ("web,db", "web1 web2 web3 db1"),
        ("db1 , lone", "db1 lone"),
        ("!both", "lone"),
        ("ungrouped", "lone"),
        ("web[0]", "web1"),
        ("web[-1]", "web3"),
        ("web[1:]", "web2 web3"),
        ("db:!db", "no host matches `db:!db`"),
        ("wbe1", "no host or group matches `wbe1`\nhint: did you mean `web1`?"),
        ("web:!wbe1", "no host or group matches `wbe1`\nhint: did you mean `web1`?"),
        ("web[9]", "`web[9]` counts past its 3 hosts"),
        (
            "~web.*",
            "`~web.*`: patterns take no regular expressions\nhint: use wildcards such as `web*`",
        ),
    ] {
        assert_eq!(chosen(limit), expected, "{limit}");
    }
    assert_eq!(
        chosen("zebra"),
        "no host or group matches `zebra`\nhint: the inventory has `lone`, `web1`, `web2`, \
         `web3`, `db1`, `all`, `ungrouped` and `web` and more"
    );
}

#[test]
fn a_host_is_found_by_name_by_address_or_taken_as_it_is() {
    let (folder, inventory) = fleet();
    let host = |name: &str| match inventory.select(&[name.to_owned()], None) {
        Ok(hosts) => format!("{:?}", hosts[0]),
        Err(failure) => told(&failure),
    };
    let said =
        ["web3", "10.0.0.9", "192.0.2.1", "2001:db8::1", "web", "root@192.0.2.1", "-x", "a b"];
    shows!(said.map(host).join("\n\n").replace(&folder.path().display().to_string(), ""));
}

#[test]
fn without_an_inventory_a_host_still_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    std::fs::write(&path, "all: {}").unwrap();
    let failure = open(&path, &[]).unwrap().select(&[], None).unwrap_err();
    shows!(told(&failure));
}
