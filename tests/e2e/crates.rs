//! The crates of others are built once, for hwctl, its tests and the fuzzer.

use std::collections::BTreeSet;
use std::process::Command;

crate::tests! {
    Nothing: [one_build_of_the_crates_serves_every_command],
}

/// Crates with their versions and features, as cargo builds them for a command. Those of the fuzzer may have to be
/// downloaded first.
fn crates(words: &[&str]) -> BTreeSet<String> {
    let output = Command::new("cargo")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--prefix=none", "--no-dedupe"])
        .args(["--format", "{p} {f}"])
        .args(words)
        .output()
        .expect("cargo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn one_build_of_the_crates_serves_every_command() {
    let of_tests = crates(&["--edges", "normal,build,dev"]);
    let names = |crates: &BTreeSet<String>| -> BTreeSet<String> {
        crates.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    let known = names(&of_tests);
    assert!(known.iter().any(|name| name.starts_with("tokio v")), "{known:?}");
    let commands: [(&str, &[&str]); 2] = [
        ("cargo run", &["--edges", "normal,build"]),
        ("fuzz/run.sh", &["--workspace", "--edges", "normal,build"]),
    ];
    for (command, words) in commands {
        let mut others = crates(words);
        others.retain(|line| !of_tests.contains(line));
        let both: Vec<_> = names(&others).intersection(&known).cloned().collect();
        assert!(
            both.is_empty(),
            "`{command}` builds these with other features than `cargo test`, and all that uses them anew: {both:?}. \
             Ask for the features in Cargo.toml."
        );
    }
}
