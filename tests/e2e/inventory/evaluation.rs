//! Templates and vaults in variables that hwctl needs, and how hosts are reached by them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hwctl::inventory::{Inventory, InventoryHost, Sources, load};

use super::told;

crate::tests! {
    Nothing: [
        templates_are_evaluated_where_a_variable_is_needed,
        a_template_that_is_not_evaluated_is_refused_with_its_place,
        a_vault_is_opened_only_when_something_needs_it,
        what_was_in_a_vault_never_shows,
        a_file_that_stays_closed_is_told,
        sudo_is_what_the_inventory_says_or_the_host_is_refused,
        keys_are_where_ansible_looks_for_them,
        hosts_that_hwctl_has_no_way_to_are_refused,
        values_of_others_never_show_in_ini,
        values_of_others_never_show_by_way_of_a_template,
    ],
}

/// `192.0.2.7`, `right-horse` and `notemplate` in braces, encrypted with the password `pw`.
const ADDRESS: &str = "$ANSIBLE_VAULT;1.1;AES256
64366533303037383566343566323936336165353263386563376464666236336332313162393266
6462323465613932396239353764393864313030333731370a353431666534363031656566343731
34376532666536313062663533366161393834386361373264303662353933653130326164623062
6239323736303335360a353363346162366665393431386164383539333862333630643131393163
3835";
const WORD: &str = "$ANSIBLE_VAULT;1.1;AES256
64383466343939376663363239393334353465613638636363343531616161636431633464303336
6663323731616636623166633264346431633564346634630a376366373064363962626532626361
33396663306464333433613430626365613133646430636237376530376338343137303965333662
3832366164666630390a353262616434646563306461366437353139633732353234636139636533
3362";
const BRACES: &str = "$ANSIBLE_VAULT;1.1;AES256
32653266653234383439366563333137396431353363383239613064316439313435303363326133
3030373936333935343631393938313331636339386434340a323062383038663430323035346435
66613631393465303732663934363366656433356237633232313263393532313361376133643431
6463616635636463350a623361343361623163653138373839653836643937316139323135356665
64383431336565616461353737646332343164326538346331653662396638336236";

/// An encrypted value in YAML, so many columns deep.
fn tagged(text: &str, depth: usize) -> String {
    let indent = format!("\n{}", " ".repeat(depth));
    format!("!vault |{indent}{}", text.replace('\n', &indent))
}

/// An inventory of these files, with the password file `pw`. The first file is the inventory.
fn inventory(files: &[(&str, &str)], has_password: bool) -> (tempfile::TempDir, Inventory) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let password = folder.path().join("pw");
    fs::write(&password, "pw\n").unwrap();
    let mut sources = Sources::at(&folder.path().join(files[0].0), Vec::new());
    if has_password {
        sources.vault_passwords.push(password.to_string_lossy().into_owned());
    }
    let inventory = load(&sources).unwrap();
    (folder, inventory)
}

fn host(inventory: &Inventory, name: &str) -> Result<InventoryHost, String> {
    let hosts = inventory.select(&[name.to_owned()], None).map_err(|failure| told(&failure))?;
    let [host] = &hosts[..] else { panic!("`{name}` is not one host") };
    host.require_reachable().map_err(|failure| told(&failure))?;
    Ok(host.clone())
}

/// What `ansible_host` is with this value, among other variables.
fn address(value: &str) -> Result<String, String> {
    let text = format!(
        "
[web]
web1.example.com ansible_host={value} n=5 f=1.5 t=True l=\"['a','b']\" m=\"{{'k': 'v', 'in': [1,{{'x':'deep'}}]}}\" name=web one='{{{{ two }}}}' two='{{{{ name }}}}2' loop='{{{{ loop2 }}}}' loop2='{{{{ loop }}}}' lost='{{{{ nowhere }}}}'
[db]
db1 ansible_port=2222 name=db
[web:vars]
domain=example.com
"
    );
    let (_folder, inventory) = inventory(&[("hosts", &text)], false);
    host(&inventory, "web1.example.com").map(|host| host.address)
}

fn templates_are_evaluated_where_a_variable_is_needed() {
    for (value, expected) in [
        ("'{{ name }}.{{ domain }}'", "web.example.com"),
        ("\"{{ name ~ '-' ~ n }}\"", "web-5"),
        ("\"{{ name + '.x' }}\"", "web.x"),
        ("'{{ inventory_hostname }}'", "web1.example.com"),
        ("'{{ inventory_hostname_short }}'", "web1"),
        ("'{{ one }}'", "web2"),
        ("'{{ m.k }}{{ m[\"in\"][1].x }}{{ l[0] }}'", "vdeepa"),
        ("\"{{ nowhere | default('d') }}\"", "d"),
        ("\"{{ nowhere | d(name) }}\"", "web"),
        ("\"{{ lost | default('d') }}\"", "d"),
        ("\"{{ m.none | default('d') }}\"", "d"),
        ("\"{{ name | upper | lower | replace('w', 'v') }}\"", "veb"),
        ("\"{{ l | join('-') }}{{ l | first }}{{ l | last }}\"", "a-bab"),
        ("\"{{ '7' | int }}{{ n | string }}{{ ' x ' | trim }}\"", "75x"),
        ("\"{{ 'yes' | bool }}{{ t }}{{ f }}\"", "TrueTrue1.5"),
        ("\"{{ 'a' if t else 'b' }}\"", "a"),
        ("'{% if n > 3 %}big{% else %}small{% endif %}'", "big"),
        ("\"{{ hostvars['db1'].name }}{{ hostvars['db1']['ansible_port'] }}\"", "db2222"),
        ("\"{{ groups['db'][0] }}{{ groups.web | length }}\"", "db11"),
        ("\"{{ group_names | join('-') }}\"", "web"),
        ("\"{{ lookup('env', 'CARGO_PKG_NAME') }}\"", "hwctl"),
        ("\"{{ lookup('env', 'HWCTL_IS_NOT_SET', default='none') }}\"", "none"),
        ("\"{{ inventory_file | basename }}\"", "hosts"),
        ("\"{{ 'aG9zdA==' | b64decode }}\"", "host"),
        ("\"{{ t | ternary('a', 'b') }}\"", "a"),
    ] {
        assert_eq!(address(value).as_deref(), Ok(expected), "{value}");
    }
}

fn a_template_that_is_not_evaluated_is_refused_with_its_place() {
    for (value, expected) in [
        ("'{{ nowhere }}'", "hosts:3:31: `nowhere` is not defined"),
        ("'{{ lost }}'", "`nowhere` is not defined"),
        ("'{{ m.nowhere }}'", "something in this template is not defined"),
        ("'{{ loop }}'", "more than 24 templates refer to each other"),
        ("\"{{ lookup('pipe', 'id') }}\"", "there is no lookup `pipe`"),
        ("'{{ name | to_nice_yaml }}'", "to_nice_yaml"),
        ("'{{ name'", "hwctl does not evaluate this template"),
        ("'{{ l }}'", "takes an address or a name, not a list"),
        ("'x{{ l }}'", "this template fails"),
        (
            "'{% for i in range(99999999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}'",
            "fails",
        ),
    ] {
        let message = address(value).unwrap_err();
        assert!(message.contains("hosts:3:") && message.contains(expected), "{value}: {message}");
    }
    // Nested as deep as this, a template would exhaust the stack.
    let deep = format!("'{{{{ {}1 }}}}'", "-".repeat(20_000));
    let message = address(&deep).unwrap_err();
    assert!(message.contains("more than 4 KiB"), "{message}");
}

fn a_vault_is_opened_only_when_something_needs_it() {
    let text = format!(
        "
all:
  vars:
    api: {{ users: {{ admin: \"{{{{ vaulted }}}}\", two: {{ env: CARGO_PKG_NAME }} }} }}
    sites: {{ site2: {{ users: {{}} }} }}
    vaulted: {word}
    braces: {braces}
    api_copy: 1
  hosts:
    plain:
    hidden:
      ansible_host: {address}
    named:
      ansible_host: \"{{{{ hostvars['hidden'].ansible_host }}}}\"
",
        word = tagged(WORD, 6),
        braces = tagged(BRACES, 6),
        address = tagged(ADDRESS, 8),
    );
    let kinds = hwctl::part::Kinds::builtin();

    let (_folder, closed) = inventory(&[("hosts.yml", &text)], false);
    let plain = host(&closed, "plain").unwrap();
    assert!(kinds.vars(&closed, &plain).is_ok(), "a password that nothing needs is opened");
    let message = host(&closed, "hidden").unwrap_err();
    assert!(message.contains("no vault password was given"), "{message}");
    assert!(
        message.contains("hosts.yml:") && message.contains("--vault-password-file"),
        "{message}"
    );

    let (_folder, open) = inventory(&[("hosts.yml", &text)], true);
    assert_eq!(host(&open, "hidden").unwrap().address, "192.0.2.7");
    assert_eq!(host(&open, "named").unwrap().address, "192.0.2.7");
    let (vars, _) = kinds.vars(&open, &host(&open, "plain").unwrap()).unwrap();
    let users = vars.get::<hwctl::part::Api>().users.reveal().unwrap();
    assert_eq!(users["admin"].expose(), "right-horse");
    assert_eq!(users["two"].expose(), "hwctl");
}

fn what_was_in_a_vault_never_shows() {
    let text = format!(
        "
all:
  vars:
    word: {word}
    redis: {{ image: \"{{{{ word }}}} x\", volume: \"{{{{ word }}}}/\", port: \"{{{{ word }}}}\" }}
    logrotate: {{ every: \"{{{{ word }}}}\" }}
  hosts: {{ h1: {{ ansible_port: \"{{{{ word }}}}\" }}, h2: }}
",
        word = tagged(WORD, 6)
    );
    let (_folder, inventory) = inventory(&[("hosts.yml", &text)], true);

    let port = host(&inventory, "h1").unwrap_err();
    let failure = hwctl::part::Kinds::builtin()
        .vars(&inventory, &host(&inventory, "h2").unwrap())
        .unwrap_err();

    for message in [port, told(&failure)] {
        assert!(message.contains("hosts.yml:"), "{message}");
        assert!(!message.contains("horse"), "{message}");
    }
}

fn a_file_that_stays_closed_is_told() {
    let files = [
        ("hosts", "[web]\nh1\nh2 ansible_host='{{ from_vault }}'\n[db]\nh3\n"),
        ("group_vars/web/vault.yml", ADDRESS),
    ];
    let (_folder, inventory) = inventory(&files, false);

    let h1 = host(&inventory, "h1").unwrap();
    assert!(h1.closed_vaults()[0].ends_with("group_vars/web/vault.yml"));
    let refused = told(&h1.require_open_vaults().unwrap_err());
    assert!(refused.contains("is encrypted") && refused.contains("--vault-password-file"));
    assert!(host(&inventory, "h3").unwrap().require_open_vaults().is_ok());
    let missing = host(&inventory, "h2").unwrap_err();
    assert!(missing.contains("`from_vault` is not defined"), "{missing}");
    assert!(missing.contains("vault.yml`, which is encrypted"), "{missing}");
}

fn sudo_is_what_the_inventory_says_or_the_host_is_refused() {
    let (_folder, inventory) = inventory(
        &[(
            "hosts",
            "
plain
yes ansible_become=true ansible_become_method=sudo ansible_become_user=root ansible_become_flags='-H -S -n'
other ansible_become_exe=/usr/local/bin/sudo ansible_become_flags='-HE'
root ansible_user=root ansible_become=no ansible_become_method=su
no ansible_become=no
bob ansible_become_user=bob
su ansible_become_method=su
flags ansible_become_flags='-u bob'
program ansible_become_exe='sudo -i'
folder ansible_sudo_chdir=/tmp
password ansible_become_password=\"{'env':'CARGO_PKG_NAME'}\"
text ansible_become_pass=right-horse
lost ansible_become_password=\"{'env':'HWCTL_IS_NOT_SET'}\"
",
        )],
        false,
    );
    let sudo = |name: &str| host(&inventory, name).map(|host| host.sudo().join(" "));
    for (name, expected) in [
        ("plain", "sudo"),
        ("yes", "sudo -H"),
        ("other", "/usr/local/bin/sudo -H -E"),
        ("root", "sudo"),
        ("password", "sudo"),
    ] {
        assert_eq!(sudo(name).as_deref(), Ok(expected), "{name}");
    }
    for name in ["no", "bob", "su", "flags", "program", "folder"] {
        let message = sudo(name).unwrap_err();
        assert!(message.contains("which hwctl does not support"), "{name}: {message}");
    }
    let password = |name: &str| {
        let host = host(&inventory, name).unwrap();
        inventory.become_password(&host).map(|found| found.map(|word| word.expose().to_owned()))
    };
    assert_eq!(password("plain").unwrap(), None);
    assert_eq!(password("password").unwrap().as_deref(), Some("hwctl"));
    assert_eq!(password("text").unwrap().as_deref(), Some("right-horse"));
    let message = told(&password("lost").unwrap_err());
    assert!(message.contains("HWCTL_IS_NOT_SET"), "{message}");
}

fn keys_are_where_ansible_looks_for_them() {
    let text = "
here ansible_ssh_private_key_file=keys/k
home ansible_ssh_private_key_file=~/.ssh/k
other ansible_private_key_file=~bob/k
token ansible_ssh_private_key_file=%d/k
last ansible_ssh_private_key_file=one ansible_private_key_file=two
made ansible_ssh_private_key_file='{{ inventory_dir }}/k'
";
    let (folder, inventory) = inventory(&[("hosts", text)], false);
    let home = std::env::var("HOME").unwrap();
    let made = fs::canonicalize(folder.path()).unwrap().join("k");
    for (name, expected) in [
        ("here", "keys/k"),
        ("home", &format!("{home}/.ssh/k")),
        ("other", "~bob/k"),
        ("token", "%d/k"),
        ("last", "one"),
        ("made", made.to_str().unwrap()),
    ] {
        let key = host(&inventory, name).unwrap().identity;
        assert_eq!(key.as_deref(), Some(Path::new(expected)), "{name}");
    }
}

fn hosts_that_hwctl_has_no_way_to_are_refused() {
    let text = "
ok ansible_connection=ssh
full ansible_connection=ansible.builtin.ssh
smart ansible_connection='{{ how }}' how=smart
empty ansible_ssh_pass= ansible_become_pass= ansible_password=''
here ansible_connection=local
near ansible_connection='{{ how }}' how=ansible.builtin.local
docker ansible_connection=community.docker.docker
typed ansible_password=hunter2
vaulted ansible_ssh_pass='{{ nowhere }}'
";
    let (_folder, inventory) = inventory(&[("hosts", text)], false);

    for name in ["ok", "full", "smart", "empty"] {
        let host = host(&inventory, name).unwrap();
        assert!(!host.has_become_password() && !host.is_here, "{name}");
    }
    for name in ["here", "near"] {
        assert!(host(&inventory, name).unwrap().is_here, "{name}");
    }
    for name in ["docker", "typed", "vaulted"] {
        let message = host(&inventory, name).unwrap_err();
        assert!(message.contains("which hwctl does not support"), "{name}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

/// A template may carry another tool's secret into a variable of hwctl's.
fn values_of_others_never_show_by_way_of_a_template() {
    let vars = [
        "redis: { port: '{{ token }}' }",
        "redis: { image: '{{ token }}' }",
        "redis: { image: 'x {{ token }}' }",
        "redis: { container: '{{ token[:1] }} {{ token }}' }",
        "redis: '{{ keys }}'",
        "tls: { mode: \"{{ token | default('x') }}\" }",
        "app_dir: '{{ folder }}'",
        "app_dir: '/etc/{{ token }}'",
        "server_names: ['{{ token }} ']",
        "sites: { main: { root: '/etc/{{ token }}/' } }",
        "sites: { new: { path: '/flask/{{ token }}', root: /srv/new } }",
        "sites: '{{ sites_of_others }}'",
        "roles: ['{{ token }}']",
        "firewall: { allow: ['{{ token }}'] }",
        "firewall: { allow: [{ port: 1, from: '{{ token }}' }] }",
        "ansible_host: '-{{ token }}'",
        "ansible_port: '{{ token }}'",
        "ansible_user: '-{{ token }}'",
        "ansible_ssh_common_args: '{{ token }}'",
        "ansible_ssh_common_args: '-{{ token }}'",
        "ansible_connection: '{{ token }}'",
        "ansible_become_flags: '{{ token }}'",
        "redis: { image: \"{{ lookup('env', 'CARGO_PKG_NAME') }} Hunter\" }",
        "redis: { image: \"{{ hostvars.other.token }} \" }",
    ];
    let token = "Hunter2;x";
    for var in vars {
        let text = format!(
            "all:\n  hosts: {{ h: , other: }}\n  vars:\n    token: {token}\n    folder: /etc/{token}\n    \
             keys: {{ {token}: 1 }}\n    sites_of_others: {{ {token}: {{ path: x }} }}\n    {var}\n"
        );
        let (_folder, inventory) = inventory(&[("inventory.yaml", &text)], false);

        let read = inventory.select(&["h".to_owned()], None).and_then(|hosts| {
            hosts[0].require_reachable()?;
            hwctl::part::Kinds::builtin().vars(&inventory, &hosts[0]).map(|_| ())
        });

        let message = read.err().map(|failure| told(&failure)).unwrap_or_default();
        assert!(!message.contains("Hunter2"), "{var}\n{message}");
        assert!(!message.contains("hwctl Hunter"), "{var}\n{message}");
        assert!(!message.is_empty(), "{var} is taken");
    }
}

/// Whatever a line of an INI inventory holds may be somebody's secret.
fn values_of_others_never_show_in_ini() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    for text in [
        "h1 hunter2\n",
        "h1 a='hunter2\n",
        "h1 a=hunter2 ansible_port=x\n",
        "h1\n[web:vars]\na=hunter2\n",
        "[web]\nh1\n[web:vars]\nhunter2\n",
        "[web]\nh1 ansible_port=x\n[web:vars]\na=hunter2\n",
        "h1 ansible_host='{{ x }}' x='{{ hunter2_lost }}' y=hunter2\n",
        "[web:hunter2 x]\n",
        "h1 redis={'prot':'hunter2'}\n",
        "h1 stripe_key=hunter2 redis={'port':'a'}\n",
    ] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let read = load(&Sources::at(&path, Vec::new())).and_then(|inventory| {
            let hosts = inventory.select(&[], None)?;
            hwctl::part::Kinds::builtin().vars(&inventory, &hosts[0]).map(|_| ())
        });
        let message = read.err().map(|failure| told(&failure)).unwrap_or_default();
        let message = message.replace("hunter2_lost", "");
        assert!(!message.contains("hunter2"), "{text}{message}");
    }
}
