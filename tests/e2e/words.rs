//! Holds that only parts know the services by name: everything else works for any part.

use std::fs;
use std::path::{Path, PathBuf};

use crate::layers::sources;

crate::tests! {
    Nothing: [
        only_parts_and_kinds_name_a_service,
        a_name_is_found_in_code_alone,
    ],
}

/// What only the folder of a part, or of a kind of resource, may name.
const WORDS: [&str; 7] = ["nginx", "flask", "redis", "ufw", "homework", "site2", "gunicorn"];

/// Where no service is known by name.
const LAYERS: [&str; 8] =
    ["client", "engine", "event", "remote", "report", "resource", "spec", "watch"];

/// Kinds of resources may know the programs that they set up.
const KINDS: &str = "resource/kinds";

/// The words that a source names, each with the number of its line. Comments and unit tests may name them.
fn found(source: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    let mut before = "";
    for (number, line) in source.lines().enumerate() {
        if before == "#[cfg(test)]" && line.starts_with("mod ") && line.ends_with('{') {
            break;
        }
        before = line;
        let code = line.split("//").next().unwrap_or_default().to_lowercase();
        let names = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        for name in names {
            found.extend(WORDS.iter().find(|word| **word == name).map(|word| (number + 1, *word)));
        }
    }
    found
}

/// Whether a file holds code of the layers that is not only for tests.
fn is_meant(file: &Path) -> bool {
    let layer = file.iter().next().and_then(|first| Path::new(first).file_stem());
    let is_test = file.iter().any(|name| name == "tests")
        || file.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
    layer.is_some_and(|layer| LAYERS.iter().any(|name| *name == layer))
        && !is_test
        && !file.starts_with(KINDS)
}

fn only_parts_and_kinds_name_a_service() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<PathBuf> = Vec::new();
    sources(&src, &mut files);
    files.retain(|file| is_meant(file.strip_prefix(&src).expect("it lies there")));
    assert!(files.len() > 100, "only {} files are found", files.len());

    let mut all = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).expect("sources are readable");
        let place = file.strip_prefix(&src).expect("it lies there").display();
        all.extend(found(&source).iter().map(|(line, word)| format!("src/{place}:{line}: {word}")));
    }

    let rule = "what is known of one service belongs in `part/` or `resource/kinds/`";
    assert!(all.is_empty(), "{rule}:\n{}", all.join("\n"));
}

fn a_name_is_found_in_code_alone() {
    let code = "//! Redis, say.\n\
                use a::redis::B; // of nginx\n\
                let path = \"/etc/UFW/x\";\n\
                reload_nginx(flasks);\n\
                #[cfg(test)]\n\
                mod tests {\n\
                    const SITE: &str = \"homework\";\n\
                }\n";

    assert_eq!(found(code), [(2, "redis"), (3, "ufw")]);
    assert!(is_meant(Path::new("event.rs")) && is_meant(Path::new("resource/registry.rs")));
    for other in ["part/nginx/mod.rs", "resource/kinds/unit/mod.rs", "engine/plan/tests.rs"] {
        assert!(!is_meant(Path::new(other)), "{other}");
    }
}
