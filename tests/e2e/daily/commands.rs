//! `hwctl exec` and `hwctl ssh`.

use super::{GROUP, plain, printed, ready};
use crate::host::failure;

crate::tests! {
    Lab: [
        run_with_their_words_as_they_are,
        fail_where_they_fail,
        a_login_has_the_exit_code_of_ssh,
    ],
}

fn run_with_their_words_as_they_are() {
    let host = &ready();
    let words = ["--", "printf", "%s\n", "a  b", "$HOME", "it's", "*", ";id", ""];
    let (code, text) = printed(&mut plain(host, "exec", &words));
    assert_eq!((code, text.as_str()), (0, "a  b\n$HOME\nit's\n*\n;id\n\n"));
    let (_, text) = printed(&mut plain(host, "exec", &["--", "id", "-un"]));
    assert_eq!(text, "ubuntu\n");
    let (_, text) = printed(&mut plain(host, "exec", &["--sudo", "--", "id", "-un"]));
    assert_eq!(text, "root\n");
    let args = ["-i", "twins.yaml", "--", "sh", "-c", "echo one; echo two >&2"];
    let (code, text) = printed(&mut plain(host, "exec", &args));
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!((code, lines), (0, vec!["web1: one", "web1: two", "web2: one", "web2: two"]));
}

fn fail_where_they_fail() {
    let host = &ready();
    let (code, events) = host.hwctl("exec", &["--", "sh", "-c", "exit 3"]);
    assert_eq!(code, 1);
    assert!(failure(&events).contains("`sh` ends with exit code 3"));
    assert!(events.iter().any(|event| event["event"] == "exited" && event["code"] == 3));
    let (code, text) = printed(&mut plain(host, "exec", &["--", "df -h | tail"]));
    assert!(code == 1 && text.contains("hint: 127 usually means"), "{text}");
    let (code, text) = printed(&mut plain(host, "exec", &["-i", GROUP, "--", "true"]));
    assert_eq!(code, 5, "{text}");
}

fn a_login_has_the_exit_code_of_ssh() {
    let host = &ready();
    let ssh = |args: &[&str]| printed(&mut plain(host, "ssh", args));
    assert_eq!(ssh(&["vm", "--", "echo", "$HOME", "x  y"]), (0, "$HOME x  y\n".to_owned()));
    assert_eq!(ssh(&["--", "sh", "-c", "exit 7"]).0, 7, "the only host needs no name");
    let (code, text) = ssh(&["-i", GROUP]);
    assert!(code == 2 && text.contains("name one of web1, web2, gone"), "{text}");
    assert_eq!(ssh(&["-i", GROUP, "gone", "--", "true"]).0, 255);
}
