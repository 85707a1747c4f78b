//! No file makes hwctl panic, hang, eat memory or tell a password.

use std::path::Path;

use super::{open, told, vars_with, without};

crate::tests! {
    Nothing: [hostile_files_end_soon_and_are_named, a_path_that_cannot_be_read_is_named, a_broken_example_never_panics_and_never_tells_a_password],
}

fn hostile_files_end_soon_and_are_named() {
    let more = |n: u8| format!("  x_{n}: &x{n} [{}]\n", vec![format!("*x{}", n - 1); 9].join(", "));
    let laughs = (1..12).map(more).collect::<Vec<_>>().concat();
    let laughs = format!("all:\n vars:\n  x_0: &x0 [a]\n{laughs}");
    let deep = format!("all: {}1{}", "[".repeat(5000), "]".repeat(5000));
    let deep_maps = (0..200).map(|n| " ".repeat(n) + "a:\n").collect::<Vec<_>>().concat();
    let cases: [&[u8]; 8] = [
        laughs.as_bytes(),
        deep.as_bytes(),
        deep_maps.as_bytes(),
        b"\x7fELF\x02\x01\x01\x00\xff\xfe",
        b"all: { hosts: { \"a\\u0000b\": } }",
        b"\xef\xbb\xbfall: { hosts: { vm1: }, var: {} }",
        "all: { hosts: { vm1: }, vars: { größe: 1 } }".as_bytes(),
        b"all: { vars: { x_self: &a [*a] } }",
    ];
    let cases = cases.map(|case| match vars_with(case, &[]) {
        Ok(_) => "nothing".to_owned(),
        Err(failure) => told(&failure),
    });
    shows!(cases.join("\n\n"));
}

fn a_path_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let said = |name: &str| match open(&folder.path().join(name), &[]) {
        Ok(_) => "nothing".to_owned(),
        Err(failure) => told(&without(&failure, &format!("{}/", folder.path().display()))),
    };
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    shows!([said("missing.yaml"), said("empty")].join("\n\n"));
}

/// The example with one of many things broken in it, a thousand times.
fn a_broken_example_never_panics_and_never_tells_a_password() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory.yaml");
    let example = std::fs::read_to_string(example).unwrap();
    let example = example.replace("homework", "hunter2").replace("password }", "hunter2 }");
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let pieces = [
        "", " ", "\n", ":", "{", "}", "[", "]", "&a ", "*a", "#", "'", "\"", "\t", "|", "- ", "é",
        "\0",
    ];
    for _ in 0..1000 {
        let mut text: Vec<char> = example.chars().collect();
        for _ in 0..=below(2) {
            let (at, gone) = (below(text.len()), below(3));
            let until = (at + gone).min(text.len());
            text.splice(at..until, pieces[below(pieces.len())].chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(failure) = vars_with(text.as_bytes(), &[]) {
            let told = told(&failure);
            assert!(!told.contains("hunter2"), "{told}\n\n{text}");
        }
    }
}
