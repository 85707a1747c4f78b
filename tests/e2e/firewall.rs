//! The ports that the inventory opens, with what they are for.

use crate::host::{Provisioned, changes, failure, outcome};

crate::tests! {
    Lab: [a_comment_is_kept_by_ufw_and_closes_nothing_when_it_changes],
}

fn allow(entry: &str) -> [String; 2] {
    ["--set".to_owned(), format!("firewall.allow=[80/tcp, 443/tcp, {entry}]")]
}

fn provision(host: &Provisioned, verb: &str, entry: &str) -> (i32, Vec<serde_json::Value>) {
    let args = allow(entry);
    host.hwctl(verb, &args.each_ref().map(String::as_str))
}

fn a_comment_is_kept_by_ufw_and_closes_nothing_when_it_changes() {
    let host = Provisioned::ready("trixie");
    let (code, events) =
        provision(&host, "provision", "{ port: 8080, from: 10.0.0.0/8, comment: \"the shop's\" }");
    assert_eq!(code, 2, "{events:#?}");
    assert!(failure(&events).contains("without `'`"), "{}", failure(&events));

    let first = "{ port: 8080, from: 10.0.0.0/8, comment: metrics of the shop }";
    let (code, events) = provision(&host, "provision", first);
    assert_eq!(code, 0, "{events:#?}");
    let shown = || host.sh("ufw status | grep 8080");
    assert!(
        shown().ends_with("10.0.0.0/8                 # hwctl: metrics of the shop"),
        "{}",
        shown()
    );
    let (code, events) = provision(&host, "provision", first);
    assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");

    // ufw runs this hook when it loads its rules.
    host.sh("printf '#!/bin/sh\\ntouch /run/loaded\\n' >/etc/ufw/after.init; chmod 755 /etc/ufw/after.init");
    let second = first.replace("metrics of the shop", "größer: 100% \\\"$HOME\\\"");
    let second = second.replace("größer", "\"größer").replace("\\\" }", "\\\"\" }");
    let (code, events) = provision(&host, "provision", &second);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(changes(&events), ["firewall ufw"]);
    assert!(format!("{events:?}").contains("allow (metrics of the shop)"), "{events:#?}");
    assert!(shown().ends_with("# hwctl: größer: 100% \"$HOME\""), "{}", shown());
    assert!(!host.sh_ok("test -e /run/loaded"), "the firewall was loaded anew");
    let (code, events) = provision(&host, "plan", &second);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");

    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(shown().ends_with("# hwctl: metrics of the shop"), "{}", shown());
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(!host.sh_ok("ufw status | grep 8080"));
}
