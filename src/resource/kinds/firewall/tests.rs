//! The files in `testdata` are what ufw 0.36.2 wrote and what iptables then listed.

use std::path::Path;

use crate::resource::model::change::Detail;

use super::rules::{Family, RuleFile};
use super::ufw::has_all;
use super::*;

const RULES4: &str = include_str!("testdata/user.rules");
const RULES6: &str = include_str!("testdata/user6.rules");
const PACKAGED: &str = include_str!("testdata/packaged.rules");
const KERNEL: &str = include_str!("testdata/iptables-S");

fn tcp(number: u16) -> FirewallPort {
    FirewallPort::open_to_all(number, Transport::Tcp)
}

fn tcp_from(number: u16, from: &str) -> FirewallPort {
    FirewallPort { from: Some(from.parse().unwrap()), ..tcp(number) }
}

fn changes(text: &str, allow: &[FirewallPort], exclusive: bool, family: Family) -> Vec<String> {
    let mut file = RuleFile::parse(text).unwrap();
    let changes = file.bring_to(allow, exclusive, family);
    assert!(file.bring_to(allow, exclusive, family).is_empty(), "the second time is quiet");
    changes_shown(&changes)
}

fn changes_shown(changes: &[RuleChange]) -> Vec<String> {
    let shown = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
    changes
        .iter()
        .map(|c| format!("{}: {} {}", c.name, shown(&c.before), shown(&c.after)))
        .collect()
}

#[test]
fn files_are_read_and_written_to_the_letter() {
    for text in [RULES4, RULES6] {
        assert_eq!(RuleFile::parse(text).unwrap().text(), text);
    }
}

#[test]
fn rules_of_others_count_and_stay() {
    // 53 for both protocols, 2222 with a limit, 80 and 8085 among others.
    let udp = FirewallPort::open_to_all(53, Transport::Udp);
    let allow = [tcp(22), tcp(9000), tcp(53), udp, tcp(2222), tcp(80), tcp(8085)];
    assert!(changes(RULES4, &allow, false, Family::V4).is_empty());
    assert!(changes(RULES6, &allow, false, Family::V6).is_empty());
    // Open to one network only.
    assert_eq!(
        changes(RULES4, &[tcp(22), tcp(9000), tcp(5432)], false, Family::V4),
        ["5432/tcp: - allow"]
    );
}

#[test]
fn an_own_rule_that_is_not_declared_goes_and_a_denied_port_opens() {
    assert_eq!(
        changes(RULES4, &[tcp(22), tcp(23)], false, Family::V4),
        ["23/tcp: deny allow", "9000/tcp: allow -"]
    );
}

#[test]
fn a_port_is_open_to_one_network_as_ufw_writes_it() {
    // The user's own rule says the same, or more.
    let there = [tcp(22), tcp(9000), tcp_from(5432, "10.0.0.0/8"), tcp_from(5432, "10.1.0.0/16")];
    assert!(changes(RULES4, &there, false, Family::V4).is_empty());
    assert!(
        changes(RULES4, &[tcp(22), tcp(9000), tcp_from(80, "192.0.2.0/24")], false, Family::V4)
            .is_empty()
    );
    assert_eq!(
        changes(RULES4, &[tcp(22), tcp_from(9000, "192.0.2.7/32")], false, Family::V4),
        ["9000/tcp: allow -", "9000/tcp from 192.0.2.7: - allow"]
    );
    let v6 = tcp_from(5432, "2001:db8::/32");
    assert!(changes(RULES4, &[tcp(22), tcp(9000), v6], false, Family::V4).is_empty());
    let mut file = RuleFile::parse(PACKAGED).unwrap();
    file.bring_to(&[tcp_from(8080, "10.1.2.3/8")], false, Family::V4);
    let rule = "### tuple ### allow tcp 8080 0.0.0.0/0 any 10.0.0.0/8 in comment=687763746c\n\
                -A ufw-user-input -p tcp --dport 8080 -s 10.0.0.0/8 -j ACCEPT\n";
    assert!(file.text().contains(rule), "{}", file.text());
}

#[test]
fn a_rule_of_others_that_lets_the_session_in_is_enough() {
    let rule = |tuple: &str| {
        let text =
            format!("*filter\n### RULES ###\n\n### tuple ### {tuple}\n\n### END RULES ###\n");
        RuleFile::parse(&text).unwrap()
    };
    let client = "10.9.8.7".parse().unwrap();
    let lets_in = |tuple: &str, filters| rule(tuple).lets_in(client, &tcp(22), filters);

    for enough in [
        "allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in",
        "limit any 22 0.0.0.0/0 any 10.9.8.7 in",
        "allow any any 0.0.0.0/0 any 10.0.0.0/8 in",
        "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in",
        "allow tcp 20:30 0.0.0.0/0 any 10.0.0.0/8 in",
    ] {
        assert!(lets_in(enough, false), "{enough}");
    }
    for not in [
        "allow tcp 22 0.0.0.0/0 any 192.168.0.0/16 in",
        "allow tcp 2222 0.0.0.0/0 any 10.0.0.0/8 in",
        "allow udp 22 0.0.0.0/0 any 10.0.0.0/8 in",
        "deny tcp 22 0.0.0.0/0 any 10.0.0.0/8 in",
        "allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 out",
        "allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in comment=687763746c",
    ] {
        assert!(!lets_in(not, true), "{not}");
    }
    // For one interface or address of the host: the session itself is the proof.
    for narrow in [
        "allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in_eth0",
        "allow tcp 22 192.0.2.1 any 10.0.0.0/8 in",
    ] {
        assert!(!lets_in(narrow, false) && lets_in(narrow, true), "{narrow}");
    }
}

#[test]
fn open_ports_are_told_with_whose_they_are() {
    let open = RuleFile::parse(RULES4).unwrap().open_tcp();
    for expected in [(22, 22, true), (5432, 5432, false), (8080, 8090, false), (53, 53, false)] {
        assert!(open.contains(&expected), "{expected:?} in {open:?}");
    }
    assert!(!open.iter().any(|(first, ..)| [23, 25].contains(first)), "{open:?}");
}

#[test]
fn exclusive_leaves_the_declared_rules_only() {
    assert_eq!(
        changes(RULES4, &[tcp(22), tcp(2222), tcp(9000), tcp(80)], true, Family::V4),
        [
            "5432/tcp from 10.0.0.0/8: allow -",
            "22/tcp (OpenSSH): allow -",
            "25/tcp out: reject -",
            "80,8080:8090/tcp: allow -",
            "23/tcp: deny -",
            "53: allow -",
            "80/tcp: - allow",
        ]
    );
}

#[test]
fn a_file_as_packaged_gets_rules() {
    let mut file = RuleFile::parse(PACKAGED).unwrap();
    file.bring_to(&[tcp(22)], false, Family::V4);
    let text = file.text();
    let rule = "### RULES ###\n\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in \
                comment=687763746c\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n\n\
                ### END RULES ###\n";
    assert!(text.contains(rule), "{text}");
    assert!(text.ends_with("-A ufw-user-limit-accept -j ACCEPT\nCOMMIT\n"), "{text}");
    assert_eq!(RuleFile::parse(&text).unwrap(), file);
    assert!(RuleFile::parse("no rules").is_err());
}

#[test]
fn a_rule_missing_from_the_kernel_is_seen() {
    let file = RuleFile::parse(RULES4).unwrap();
    let fixed = ["-P INPUT DROP".to_owned()];
    let chain = Family::V4.input_chain();
    assert!(has_all(KERNEL, &file, chain, &fixed));
    let line = "-A ufw-user-input -p tcp -m tcp --dport 9000 -j ACCEPT\n";
    assert!(!has_all(&KERNEL.replace(line, ""), &file, chain, &fixed));
    let other = KERNEL.replace(line, "-A ufw-user-input -j ACCEPT\n");
    assert!(!has_all(&other, &file, chain, &fixed));
    assert!(!has_all(&KERNEL.replace("-P INPUT DROP", "-P INPUT ACCEPT"), &file, chain, &fixed));
}

#[tokio::test]
async fn a_host_without_ufw_is_to_get_all_of_it() {
    let root = tempfile::tempdir().unwrap();
    let no_blobs = Box::new(|_: &crate::resource::Blob| anyhow::bail!("no blobs"));
    let host = Host::new(root.path(), no_blobs, Box::new(|_| {}));
    let firewall = Firewall { allow: vec![tcp(22)], exclusive: false, inputs: Vec::new() };
    let state = firewall.read(&host).await.unwrap();
    assert_eq!(state, FirewallState::Absent);
    let change = firewall.diff(&state, &host).unwrap().unwrap();
    // What is there already are ports of this machine that a firewall would close.
    let is_new = |detail: &&Detail| matches!(detail, Detail::Attribute { before: None, .. });
    let new = change.details.iter().filter(is_new).count();
    assert_eq!((change.action, new), (Action::Create, 3));
    assert!(firewall.apply(&state, &host).await.is_err());
    assert!(!host.path(Path::new("/etc/ufw")).exists());
}

proptest::proptest! {
    #[test]
    fn damaged_rules_are_read_or_refused(text in crate::damaged::text(&[RULES4, RULES6, PACKAGED, KERNEL])) {
        has_all(&text, &RuleFile::default(), "ufw-user-input", &[]);
        let Ok(mut rules) = RuleFile::parse(&text) else { return Ok(()) };
        for family in [Family::V4, Family::V6] {
            rules.others(&[], family);
            rules.bring_to(&[], true, family);
        }
        let (v4, v6, nft) = (text.clone(), text.clone(), text);
        guard::Guard::of(&kernel::Listing { v4, v6, nft });
    }
}

#[test]
fn a_comment_is_kept_as_ufw_keeps_it_and_changes_alone() {
    let with = |comment: &str| FirewallPort { comment: Some(comment.to_owned()), ..tcp(8080) };
    let mut file = RuleFile::parse(PACKAGED).unwrap();
    file.bring_to(&[with("shop, täglich")], false, Family::V4);
    // As `ufw allow 8080/tcp comment 'hwctl: shop, täglich'` writes it.
    let tuple = "### tuple ### allow tcp 8080 0.0.0.0/0 any 0.0.0.0/0 in \
                 comment=687763746c3a2073686f702c2074c3a4676c696368\n";
    assert!(file.text().contains(tuple), "{}", file.text());
    assert!(file.has_own(&tcp(8080), Family::V4));

    let before = file.clone();
    let changes = file.bring_to(&[with("other")], false, Family::V4);
    let back = file.differences(&before, Family::V4);
    for (changes, from, to) in
        [(changes, "shop, täglich", "other"), (back, "other", "shop, täglich")]
    {
        let shown = |text: &str| Some(format!("allow ({text})"));
        assert_eq!(changes.len(), 1);
        assert_eq!((&changes[0].before, &changes[0].after), (&shown(from), &shown(to)));
        assert!(changes[0].is_comment);
    }
    assert_eq!(changes_of(&mut file, &[tcp(8080)]), ["8080/tcp: allow (other) allow"]);
    assert_eq!(changes_of(&mut file, &[]), ["8080/tcp: allow -"]);
}

fn changes_of(file: &mut RuleFile, allow: &[FirewallPort]) -> Vec<String> {
    changes_shown(&file.bring_to(allow, false, Family::V4))
}
