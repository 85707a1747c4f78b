//! Which hosts are meant by `--host` and `--limit`.

use hwctl::inventory::Inventory;

use super::{open, told};

crate::tests! {
    Nothing: [patterns_are_ansibles, a_host_is_found_by_name_by_address_or_taken_as_it_is, without_an_inventory_a_host_still_works],
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
        ("~(web|db)[12]", "web1 web2 db1"),
        ("~eb", "no host or group matches `~eb`\nhint: did you mean `web`?"),
        ("all:!~.*[0-9]$", "lone"),
        (
            "@/nowhere",
            "cannot read the file of hosts `/nowhere`: No such file or directory (os error 2)",
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

fn without_an_inventory_a_host_still_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    std::fs::write(&path, "all: {}").unwrap();
    let failure = open(&path, &[]).unwrap().select(&[], None).unwrap_err();
    shows!(told(&failure));
}
