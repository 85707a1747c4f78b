//! Many hosts at once: batches, and an end when too many have failed.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

crate::tests! {
    Nothing: [no_further_batch_begins_once_too_many_have_failed],
}

/// Plans hosts of which none answers; the exit code and what became of each.
fn plan(args: &[&str]) -> (Option<i32>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let host = "{ ansible_host: 127.0.0.1, ansible_port: 1 }";
    let mut inventory = String::from("all:\n  hosts:\n");
    for number in 1..=5 {
        writeln!(inventory, "    h{number}: {host}").unwrap();
    }
    std::fs::write(folder.path().join("inventory.yaml"), inventory).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_hwctl"))
        .current_dir(folder.path())
        .args(["plan", "--json", "--set", "sites.site2.users={admin: other}"])
        .args(["--set", "api.users={admin: other}"])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().expect("events")).unwrap();
    let hosts = last["hosts"].as_array().expect("hosts").iter();
    let outcomes = hosts.map(|host| host["outcome"].as_str().unwrap().to_owned());
    (output.status.code(), outcomes.collect())
}

fn no_further_batch_begins_once_too_many_have_failed() {
    let all = |begun: usize| {
        let outcome = |host| if host < begun { "unreachable" } else { "skipped" };
        (Some(5), (0..5).map(|host| outcome(host).to_owned()).collect::<Vec<_>>())
    };
    // Each waits some seconds for hosts that do not answer.
    let cases: [(&[&str], usize); 6] = [
        // Without a limit all are tried.
        (&[], 5),
        // A batch has to be well.
        (&["--serial", "2"], 2),
        (&["--serial", "2", "--max-failures", "3"], 4),
        (&["--serial", "1,40%"], 1),
        (&["--serial", "1,40%", "--max-failures", "1"], 3),
        (&["--parallel", "1", "--max-failures", "0"], 1),
    ];
    std::thread::scope(|scope| {
        let plans = cases.map(|(args, begun)| (args, begun, scope.spawn(|| plan(args))));
        for (args, begun, plan) in plans {
            assert_eq!(plan.join().unwrap(), all(begun), "{args:?}");
        }
    });
}
