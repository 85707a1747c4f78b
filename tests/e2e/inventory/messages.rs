//! Every mistake is told with its place, what was wanted, and the nearest name.

use super::{told, vars_with};
use hwctl::inventory::Warning;

crate::tests! {
    Nothing: [unknown_names_are_told_with_the_nearest, wrong_types_say_what_is_taken, values_that_make_no_sense_are_refused, broken_structure_is_told_with_its_place, several_mistakes_are_told_at_once, no_password_is_built_in],
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
        Ok((_, warnings)) => warned(&warnings),
        Err(failure) => {
            let told = told(&failure);
            assert!(!told.contains("hunter2") && !told.contains("s3cret"), "{told}");
            assert_eq!(failure.exit, hwctl::failure::Exit::Usage);
            told
        }
    }
}

/// The warnings besides those about the passwords that these tests give.
fn warned(warnings: &[Warning]) -> String {
    let warnings = warnings.iter().filter(|warning| !warning.message.contains("has a password"));
    let lines: Vec<_> = warnings.map(|warning| format!("warning: {warning}")).collect();
    if lines.is_empty() { "nothing".to_owned() } else { lines.join("\n") }
}

/// Several messages in one snapshot.
pub(crate) fn all_wrong(cases: &[&str]) -> String {
    cases.iter().map(|case| wrong(case)).collect::<Vec<_>>().join("\n\n")
}

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
        "firewall: { allow: [{ port: yes, from: 7 }] }",
        "ansible_port: ssh",
    ]));
}

fn values_that_make_no_sense_are_refused() {
    shows!(all_wrong(&[
        "app_dir: home/ubuntu",
        "app_dir: /srv/../etc",
        "sites: { main: { root: '/var/www;rm' } }",
        "sites: { main: { path: /home } }",
        "sites: { new: { path: /open, root: /var/www/new } }",
        "sites: { new: { path: /flask/x, root: /var/www/new } }",
        "sites: { new: { path: /new, root: /var/www } }",
        "sites: { new: { path: /new, root: /etc/nginx } }",
        "sites: { new: { path: /new, root: /home/ubuntu } }",
        "sites: { new: { path: /new, root: /var/www/site2/open } }",
        "sites: { new: { path: /new, root: /home/ubuntu/Flask-app/pages } }",
        "app_dir: /var/www/main",
        "app_dir: /home/ubuntu",
        "redis: { port: 22 }",
        "redis: { port: 443 }",
        "ansible_port: 2222\nredis: { port: 2222 }",
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
        "firewall: { allow: [{ port: 8080, from: 10.0.0.0/33 }] }",
        "firewall: { allow: [{ port: 80/icmp, from: '2001:db8::/32' }] }",
        "firewall: { allow: [{ port: 70000, from: 10.0.0.1 }] }",
        "firewall: { allow: [{ port: 8080, form: 10.0.0.1 }] }",
        "api: { token_ttl: 0 }",
        "ansible_host: -oProxyCommand=x",
    ]));
}

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
        "all:\n  vars: { a: 1 }\n  hosts: { h: }\n",
    ];
    shows!(cases.map(whole).join("\n\n"));
}

fn several_mistakes_are_told_at_once() {
    shows!(wrong("redis:\n  prot: 1\n  image: 5\n\ntls: { days: 0 }\nsites:\n  x: {}"));
    shows!(wrong("redsi: {}\nsite: {}\nansible_prot: 22"));
}

fn no_password_is_built_in() {
    let failure = vars_with(b"all: { hosts: { vm1: } }", &[]).unwrap_err();
    shows!(told(&failure));
}
