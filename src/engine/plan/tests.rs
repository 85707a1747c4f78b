use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::resource::{Directory, File, Owner};

fn owner() -> Owner {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    Owner::new(uid.as_raw().to_string(), gid.as_raw().to_string())
}

fn declared(resource: Resource) -> Step {
    Step { tag: "site".to_owned(), resource, to: None, is_surplus: false }
}

fn removed(resource: Resource) -> Step {
    let to = resource.nothing();
    Step { to, ..declared(resource) }
}

fn page(path: &str) -> Resource {
    let file = File::text(path, "page");
    File { owner: owner(), ..file }.into()
}

fn folder(path: &str) -> Resource {
    Directory::new(path, 0o755, owner()).into()
}

/// A page that takes the place of a folder with what is in it, and another tree that goes.
fn steps() -> (Vec<Step>, Vec<Step>, Vec<Step>) {
    let giving_way = vec![removed(page("/www/a/b/c")), removed(folder("/www/a/b"))];
    let wanted = vec![declared(page("/www/a/b")), declared(page("/www/new"))];
    let removals = vec![
        removed(page("/www/old/x/1")),
        removed(page("/www/old/x/2")),
        removed(folder("/www/old/x")),
        removed(page("/www/old/3")),
        removed(folder("/www/old")),
    ];
    (giving_way, wanted, removals)
}

fn host(root: &Path) -> Host {
    for (path, is_folder) in [
        ("www/a/b", true),
        ("www/a/b/c", false),
        ("www/old/x", true),
        ("www/old/x/1", false),
        ("www/old/x/2", false),
        ("www/old/3", false),
    ] {
        match is_folder {
            true => fs::create_dir_all(root.join(path)).unwrap(),
            false => fs::write(root.join(path), "page").unwrap(),
        }
    }
    Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()))
}

/// The changes and what is kept, in an order of their own.
fn planned((giving_way, declared, removals): (Vec<Step>, Vec<Step>, Vec<Step>)) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let wanted = Wanted { giving_way, removals, ..Wanted::declared_only(declared) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let plan = runtime.block_on(Plan::make(&wanted, &host)).unwrap();
    let changes = plan.changes.iter().map(|planned| format!("{:?}", planned.change));
    let mut found: Vec<_> =
        changes.chain(plan.kept.iter().map(|kept| format!("{kept:?}"))).collect();
    found.sort();
    found
}

fn shuffled() -> impl Strategy<Value = (Vec<Step>, Vec<Step>, Vec<Step>)> {
    let (giving_way, declared, removals) = steps();
    (Just(giving_way).prop_shuffle(), Just(declared).prop_shuffle(), Just(removals).prop_shuffle())
}

#[test]
fn a_tree_that_goes_is_planned_whole() {
    let planned = planned(steps());

    assert_eq!(planned.len(), 9, "{planned:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_in_which_resources_are_compared_changes_no_plan(steps_shuffled in shuffled()) {
        prop_assert_eq!(planned(steps()), planned(steps_shuffled));
    }
}
