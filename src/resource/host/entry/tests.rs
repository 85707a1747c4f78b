//! Links that others may have planted are not followed, whoever swaps them when.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use rustix::process::geteuid;

use super::*;

/// Whether `path` below `root` is found; links are followed as if `root` were `/`.
fn finds(root: &Path, path: &str) -> Result<bool> {
    let folder = open(root, FOLDER, Mode::empty()).unwrap();
    Ok(Walk::new(folder).follow(names(Path::new(path))?, false)?.is_some())
}

fn refusal(root: &Path, path: &str) -> String {
    finds(root, path).unwrap_err().chain().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// `/real/below`, and `/home` that somebody else may write into.
fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("real/below")).unwrap();
    fs::create_dir_all(root.path().join("home/ours")).unwrap();
    fs::set_permissions(root.path().join("home"), fs::Permissions::from_mode(0o777)).unwrap();
    root
}

#[test]
fn links_of_root_are_followed() {
    let root = tree();
    let at = |name: &str| root.path().join(name);
    symlink("real", at("relative")).unwrap();
    symlink("/real", at("absolute")).unwrap();
    symlink("../../home/../real/below", at("real/around")).unwrap();
    symlink("/", at("real/below/root")).unwrap();
    for path in ["/relative/below", "/absolute/below", "/real/around", "/real/around/root/real"] {
        assert!(finds(root.path(), path).unwrap(), "{path}");
    }
    assert!(!finds(root.path(), "/relative/absent").unwrap());
    symlink("loop", at("loop")).unwrap();
    assert!(refusal(root.path(), "/loop/x").contains("too many symbolic links"));
}

#[test]
fn links_that_others_may_have_planted_are_refused() {
    let root = tree();
    let at = |name: &str| root.path().join(name);
    symlink("/real", at("home/planted")).unwrap();
    let told = refusal(root.path(), "/home/planted/below");
    assert!(told.contains("`/home/planted` is a symbolic link to `/real`"), "{told}");
    assert!(told.contains("others than root may write into `/home`"), "{told}");
    assert!(told.contains("find out who made `/home/planted`"), "{told}");
    // A folder of root's does not make good what is above it: it may have been moved there.
    symlink("/real", at("home/ours/planted")).unwrap();
    assert!(refusal(root.path(), "/home/ours/planted/below").contains("may write into `/home`"));
    // A link of root's that leads through such a folder is no better.
    symlink("/home/planted", at("through")).unwrap();
    assert!(refusal(root.path(), "/through/below").contains("`/home/planted`"));
}

#[test]
fn the_owner_of_a_planted_link_is_named() {
    if !geteuid().is_root() {
        return;
    }
    let root = tree();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("theirs")).unwrap();
    chown(at("theirs"), Some(12345), None).unwrap();
    symlink("/real", at("theirs/link")).unwrap();
    let told = refusal(root.path(), "/theirs/link");
    assert!(told.contains("`/theirs` belongs to `12345`"), "{told}");
    symlink("/real", at("given")).unwrap();
    std::os::unix::fs::lchown(at("given"), Some(12345), None).unwrap();
    assert!(refusal(root.path(), "/given").contains("it belongs to `12345`"));
}

#[test]
fn only_absolute_paths_without_parents_are_taken() {
    for path in ["etc/passwd", "/var/../etc", "", "/", ".."] {
        let error = Entry::find(Path::new(path)).unwrap_err().to_string();
        assert!(error.contains("is not"), "{path}: {error}");
    }
}

#[test]
fn nothing_is_changed_through_a_link_at_the_place_itself() {
    let root = tree();
    let at = |name: &str| root.path().join(name);
    fs::write(at("precious"), "mine").unwrap();
    for target in ["precious", "real"] {
        symlink(at(target), at("trap")).unwrap();
        let entry = Entry::require(&at("trap")).unwrap();
        assert!(entry.open().is_err());
        assert!(
            entry.directory((0o777, (0, 0)), &Attributes::default(), &Batch::default()).is_err()
        );
        entry.remove(&Batch::default()).unwrap();
    }
    assert_eq!(fs::read_to_string(at("precious")).unwrap(), "mine");
    let mode = fs::metadata(at("real")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    let names: Vec<_> = fs::read_dir(root.path()).unwrap().flatten().collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_link_that_is_swapped_in_meanwhile_leads_nowhere() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let root = tree();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("home/app")).unwrap();
    fs::set_permissions(at("real"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink(at("real"), at("home/link")).unwrap();
    let done = AtomicBool::new(false);
    let (mut written, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let home = open(at("home"), FOLDER, Mode::empty()).unwrap();
            while !done.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&home, "app", &home, "link", exchange).unwrap();
            }
        });
        for _ in 0..2000 {
            let results = [
                crate::resource::host::fs::write_atomic(&at("home/app/.env"), b"ours", 0o644, None),
                Entry::require(&at("home/app")).unwrap().directory(
                    (0o755, (0, 0)),
                    &Attributes::default(),
                    &Batch::default(),
                ),
            ];
            for result in results {
                *if result.is_ok() { &mut written } else { &mut refused } += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(written > 0 && refused > 0, "{written} written, {refused} refused");
    let names: Vec<_> =
        fs::read_dir(at("real")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(names, ["below"]);
    assert_eq!(fs::metadata(at("real")).unwrap().permissions().mode() & 0o777, 0o700);
}
