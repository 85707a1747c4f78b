//! What the vars are after defaults, inventory and settings.

use std::path::Path;

use hwctl::inventory::Vars;
use hwctl::part::{
    Api, AppDir, Firewall, Logrotate, Redis, Roles, ServerNames, Sites, Tls, open_ports,
};

use super::{read, told, vars_with};

crate::tests! {
    Nothing: [the_example_is_the_defaults_and_its_two_passwords, defaults_lie_below_and_null_means_the_default, a_site_is_added_changed_and_removed, a_setting_beats_the_inventory],
}

/// Lines below `all.vars` with both passwords given.
fn good(vars: &str, sets: &[&str]) -> Vars {
    let sets = [&["api.users.admin=one", "sites.site2.users.admin=two"], sets].concat();
    vars_with(format!("all: {{ hosts: {{ vm1: }}, vars: {vars} }}").as_bytes(), &sets).unwrap().0
}

fn the_example_is_the_defaults_and_its_two_passwords() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory.yaml");
    let (example, warnings) = read(&example, &[]).unwrap();
    let sets = ["api.users.admin=password", "sites.site2.users.admin=homework"];
    let (defaults, _) = vars_with(b"all: { hosts: { vm1: } }", &sets).unwrap();
    macro_rules! same {
        ($($variable:ty),+) => { $( assert_eq!(example.get::<$variable>(), defaults.get()); )+ };
    }
    same!(Roles, AppDir, ServerNames, Tls, Sites, Api, Redis, Logrotate);
    assert_eq!(open_ports(&example), open_ports(&defaults));
    let exclusive = |vars: &Vars| vars.get::<Firewall>().exclusive;
    assert_eq!(exclusive(&example), exclusive(&defaults));
    let warnings: Vec<_> = warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "`sites.site2.users.admin` has the password of the example, which everybody knows",
            "`api.users.admin` has the password of the example, which everybody knows",
        ]
    );
}

fn defaults_lie_below_and_null_means_the_default() {
    let vars = good("{ redis: { port: 6380, image: null }, tls: null, server_names: [a.b] }", &[]);
    let redis = vars.get::<Redis>();
    assert_eq!((redis.port, redis.image.as_str()), (6380, "redis:7-alpine"));
    assert_eq!(vars.get::<Tls>().days, 90);
    assert_eq!(vars.get::<ServerNames>().0, ["a.b"]);
}

fn a_site_is_added_changed_and_removed() {
    let vars = good("{ sites: { site1: null, new: { path: /new, root: /srv/new/ } } }", &[]);
    let Sites(sites) = vars.get();
    let names: Vec<_> = sites.keys().map(String::as_str).collect();
    assert_eq!(names, ["main", "new", "site2"]);
    assert_eq!(sites["site2"].allow.len(), 3);
    assert_eq!(sites["new"].root, Path::new("/srv/new"));
    assert!(sites["new"].users.is_empty());
    let vars = good("{ sites: { site2: { users: {}, allow: [10.0.0.0/8] } } }", &[]);
    let Sites(sites) = vars.get();
    assert_eq!(sites["site2"].allow[0].as_str(), "10.0.0.0/8");
}

fn a_setting_beats_the_inventory() {
    let sets = ["redis.port=7000", "firewall.allow=[8080/tcp]", "server_names=[x.y]"];
    let vars = good("{ redis: { port: 6380, volume: data } }", &sets);
    assert_eq!((vars.get::<Redis>().port, vars.get::<Redis>().volume.as_str()), (7000, "data"));
    assert_eq!(open_ports(&vars)[0].port.to_string(), "8080/tcp");
    let text = b"all: { hosts: { vm1: }, vars: { redis: 5 } }";
    let said = |set: &str| told(&vars_with(text, &[set]).unwrap_err());
    let sets = ["redis.port=1", "redis.port", "a..b=1", "redsi.port=1", "tls={", "ansible_port=x"];
    shows!(sets.map(said).join("\n\n"));
}
