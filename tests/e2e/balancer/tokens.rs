//! Tokens of several web hosts: one key for all of them, and another one in its place.

use std::fs;

use super::pool::Pool;
use crate::host::{MARK, Provisioned, failure, fields};

crate::tests! {
    Lab: [a_token_of_one_web_host_holds_at_the_others_while_keys_change],
}

/// An answer to a count without a database, by a host that takes the token.
const TAKEN: &str = "503";
const REFUSED: &str = "401";

/// Logs in at a host, or through the balancer.
fn token_of(host: &Provisioned) -> String {
    let body = format!(r#"{{"username":"admin","password":"{MARK}api"}}"#);
    let json = "Content-Type: application/json";
    let login = Provisioned::curl(&["-H", json, "-d", &body, &host.url("/flask/auth/login")]);
    fields(&login, "token")
}

/// What each web host, and then the balancer, says to a token.
fn answers(pool: &Pool, token: &str) -> Vec<String> {
    let bearer = format!("Authorization: Bearer {token}");
    let ask = |host: &Provisioned| {
        let url = host.url("/flask/api/count");
        Provisioned::curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &bearer, &url])
    };
    pool.web.iter().chain([&pool.lb]).map(ask).collect()
}

fn a_token_of_one_web_host_holds_at_the_others_while_keys_change() {
    let pool = Pool::fresh("trixie", 2);
    for (name, letter) in [("old", 'a'), ("new", 'b')] {
        let key = format!("{MARK}{}\n", String::from(letter).repeat(40));
        fs::write(pool.lb.folder().join(name), key).unwrap();
    }
    let provision = |keys: &str| {
        pool.declare_with(2, "", keys);
        pool.must("provision", &[]);
        assert_eq!(pool.must("plan", &[]).iter().filter(|it| it["event"] == "failed").count(), 0);
    };

    provision("");
    let own = token_of(&pool.web[0]);
    assert_eq!(answers(&pool, &own)[..2], [TAKEN, REFUSED]);

    provision(", token_key: { file: old }");
    let old = token_of(&pool.web[0]);
    assert_eq!(answers(&pool, &old), [TAKEN; 3]);
    assert_eq!(answers(&pool, &own), [REFUSED; 3]);
    let (code, events) = pool.hwctl("secret rotate", &["--limit", "web1"]);
    assert_eq!(code, 2, "{events:#?}");
    assert!(
        failure(&events)
            .contains("the token key of `web1` is set in the inventory, as `api.token_key`"),
        "{events:#?}"
    );

    // Each run changes one host after the other, so both are asked after each of them.
    provision(", token_key: { file: old }, token_key_also: { file: new }");
    assert_eq!(answers(&pool, &old), [TAKEN; 3]);
    provision(", token_key: { file: new }, token_key_also: { file: old }");
    let new = token_of(&pool.lb);
    assert_eq!([answers(&pool, &old), answers(&pool, &new)], [[TAKEN; 3], [TAKEN; 3]]);
    // What issues with one key is taken where the other one issues.
    pool.declare_with(2, "", ", token_key: { file: old }, token_key_also: { file: new }");
    pool.must("provision", &["--limit", "web2"]);
    let tokens = [token_of(&pool.web[0]), token_of(&pool.web[1])];
    for token in &tokens {
        assert_eq!(answers(&pool, token), [TAKEN; 3]);
    }
    for token in [&old, &new] {
        let args = ["--limit", "web1", "--url", "/flask/api/count", "--token", token];
        let (_, events) = pool.hwctl("doctor", &args);
        assert!(!format!("{events:?}").contains("token-foreign"), "{events:#?}");
    }

    provision(", token_key: { file: new }");
    assert_eq!([answers(&pool, &old), answers(&pool, &new)], [[REFUSED; 3], [TAKEN; 3]]);
    // The pattern does not find the program that looks for it.
    let pattern = MARK.replacen('m', "[m]", 1);
    for host in &pool.web {
        let shown = host.sh(&format!(
            "grep -rsl '{pattern}' /etc /run /var/log /proc/[0-9]*/cmdline; stat -c '%a %U' /etc/hwctl/api/env"
        ));
        assert_eq!(shown, "/etc/hwctl/api/env\n600 root", "a key shows");
    }

    pool.declare_with(2, "", ", token_key: short");
    let (code, events) = pool.hwctl("plan", &["--limit", "web1"]);
    assert_eq!(code, 2, "{events:#?}");
}
