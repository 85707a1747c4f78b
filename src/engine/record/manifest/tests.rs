//! What the manifest knows, and what goes by it.

use std::path::Path;

use super::*;
use crate::resource::{Action, Blob, Change, Content, Directory, File, Owner};

fn host(root: &Path) -> Host {
    Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()))
}

/// What a run notes of a resource that was not there.
async fn made(resource: impl Into<Resource>, tag: &str, host: &Host) -> Entry {
    let resource = resource.into();
    let before = resource.examine(host).await.unwrap().before;
    let change = Change::new(resource.id(), Action::Create);
    Entry { tag: tag.to_owned(), resource: resource.for_journal(), before, to: None, change }
}

fn version(key: &str) -> File {
    let blob = Blob { key: key.repeat(32), size: 1 };
    let path = format!("/lib/app-{}", &blob.key[..12]);
    File::new(path, Content::Blob(blob), 0o755, Owner::root())
}

fn ids(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.resource.id().to_string()).collect()
}

fn declared(resource: impl Into<Resource>, tag: &str) -> Declared {
    Declared::new(tag, resource)
}

#[tokio::test]
async fn the_manifest_follows_what_is_declared_though_nothing_changes() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let mut manifest = Manifest::default();
    let page = File::text("/www/page", "x");
    manifest.take_in(&[made(page.clone(), "sites", &host).await], true);
    let goal = |mode, tags: &[&str]| Goal::Declared {
        resources: vec![declared(File { mode, ..page.clone() }, "sites")],
        parts: Vec::new(),
        scope: Scope::Only(tags.iter().map(|tag| (*tag).to_owned()).collect()),
        hash_key: None,
    };

    assert!(!manifest.declare(&goal(0o644, &["sites"])));
    assert!(!manifest.declare(&goal(0o600, &["nginx"])), "another part was meant");
    assert!(manifest.declare(&goal(0o600, &["sites"])));

    let (_, known) = manifest.resources().next().unwrap();
    assert_eq!(*known, Resource::from(File { mode: 0o600, ..page }).for_journal());
}

#[tokio::test]
async fn what_is_no_longer_declared_goes_in_its_part_of_the_stack_alone() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let folder = Directory::new("/www", 0o755, Owner::root());
    let page = File::text("/www/page", "x");
    let mut manifest = Manifest::default();
    manifest.take_in(&[made(folder.clone(), "sites", &host).await], true);
    manifest.take_in(&[made(page.clone(), "sites", &host).await], true);
    let only = |tag: &str| Scope::Only(vec![tag.to_owned()]);

    let gone = manifest.removals(&[], &only("sites"));
    assert_eq!(ids(&gone), ["file /www/page", "directory /www"], "newest first");
    assert_eq!(ids(&manifest.removals(&[], &only("nginx"))), [""; 0]);
    let still = [declared(folder, "sites")];
    assert_eq!(ids(&manifest.removals(&still, &only("sites"))), ["file /www/page"]);
    // A part that this build does not know, or that was removed whole.
    assert_eq!(ids(&manifest.removals(&still, &Scope::All)), ["file /www/page"]);

    // Brought back to what it was: hwctl's no more. In a run that went away: still hwctl's.
    let mut back = made(page, "sites", &host).await;
    back.to = gone[0].to.clone();
    manifest.take_in(std::slice::from_ref(&back), false);
    assert_eq!(manifest.originals().len(), 2);
    manifest.take_in(&[back], true);
    assert_eq!(ids(&manifest.originals()), ["directory /www"]);

    // What another version has written outlives this one.
    std::fs::create_dir_all(host.state_dir()).unwrap();
    manifest.strange.push(ByteBuf::from("not known"));
    manifest.save(&host).unwrap();
    let read = Manifest::load(&host).unwrap();
    assert_eq!(ids(&read.originals()), ["directory /www"]);
    assert_eq!(read.strange(), 1);
}

#[tokio::test]
async fn what_an_undo_leaves_is_hwctls_still() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let mut manifest = Manifest::default();
    let mut left = made(File::text("/left", "x"), "packages", &host).await;
    left.change.not_undone = Some("it stays".to_owned());
    manifest.take_in_left(&[made(File::text("/gone", "x"), "sites", &host).await, left]);
    assert_eq!(ids(&manifest.originals()), ["file /left"]);
}

#[tokio::test]
async fn of_a_programs_versions_the_one_before_stays() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let mut manifest = Manifest::default();
    for key in ["aa", "bb", "cc"] {
        manifest.take_in(&[made(version(key), "api", &host).await], true);
    }
    let removals =
        |key| manifest.removals(&[declared(version(key), "api")], &Scope::Only(vec!["api".into()]));
    assert_eq!(ids(&removals("cc")), ["file /lib/app-aaaaaaaaaaaa"], "bb stays");
    assert!(removals("cc")[0].is_surplus);
    assert_eq!(manifest.removals(&[], &Scope::Only(vec!["api".into()])).len(), 3);
}

fn folder(path: &str) -> Directory {
    Directory::new(path, 0o755, Owner::root())
}

/// What a run notes of a resource that it takes away.
fn removed(step: &Step) -> Entry {
    let change = Change::new(step.resource.id(), Action::Remove);
    Entry::new(step, step.resource.nothing().unwrap(), change)
}

#[tokio::test]
async fn a_page_gives_way_to_a_folder_and_the_folder_with_all_in_it_to_a_page() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let mut manifest = Manifest::default();
    let sites = Scope::Only(vec!["sites".to_owned()]);
    let page = File::text("/www/about", "x");
    manifest.take_in(&[made(page.clone(), "sites", &host).await], true);

    let wanted = [declared(folder("/www/about"), "sites")];
    let gone = manifest.giving_way(&wanted, &sites);
    assert_eq!(ids(&gone), ["file /www/about"]);
    assert_eq!(
        ids(&manifest.giving_way(&wanted, &Scope::Except(vec!["sites".to_owned()]))),
        [""; 0]
    );
    assert_eq!(ids(&manifest.giving_way(&[declared(page.clone(), "sites")], &sites)), [""; 0]);

    manifest.take_in(&[removed(&gone[0])], true);
    for resource in [Resource::from(folder("/www/about")), File::text("/www/about/x", "x").into()] {
        manifest.take_in(&[made(resource, "sites", &host).await], true);
    }
    let back = manifest.giving_way(&[declared(page, "sites")], &sites);
    assert_eq!(ids(&back), ["file /www/about/x", "directory /www/about"], "newest first");
}

#[tokio::test]
async fn what_gave_way_and_was_somebody_elses_comes_back_in_the_end() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    std::fs::create_dir(root.path().join("www")).unwrap();
    std::fs::write(root.path().join("www/about"), "theirs").unwrap();
    let mut manifest = Manifest::default();
    manifest.take_in(&[made(File::text("/www/about", "x"), "sites", &host).await], true);
    let original = manifest.originals()[0].to.clone();

    let wanted = [declared(folder("/www/about"), "sites")];
    let gone = manifest.giving_way(&wanted, &Scope::Only(vec!["sites".to_owned()]));
    assert_ne!(gone[0].to, original);
    manifest.take_in(&[removed(&gone[0])], true);

    assert_eq!(manifest.originals()[0].to, original);
    assert_eq!(ids(&manifest.removals(&wanted, &Scope::Only(vec!["sites".to_owned()]))), [""; 0]);
}

#[tokio::test]
async fn a_link_in_the_place_of_a_page_has_the_state_from_before_both() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let mut manifest = Manifest::default();
    manifest.take_in(&[made(File::text("/page", "x"), "sites", &host).await], true);
    let original = manifest.originals()[0].to.clone();
    std::fs::write(root.path().join("page"), "x").unwrap();

    let link = crate::resource::Link { path: "/page".into(), target: "/x".into() };
    manifest.take_in(&[made(link, "sites", &host).await], true);

    let originals = manifest.originals();
    assert_eq!(ids(&originals), ["link /page"]);
    assert_eq!(originals[0].to, original);
}

#[tokio::test]
async fn a_folder_on_the_way_to_something_declared_stays() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let mut manifest = Manifest::default();
    for path in ["/srv/way", "/srv/way/to"] {
        manifest.take_in(&[made(folder(path), "sites", &host).await], true);
    }
    let sites = Scope::Only(vec!["sites".to_owned()]);

    let wanted = [declared(folder("/srv/way/to/docs"), "sites")];
    assert_eq!(ids(&manifest.removals(&wanted, &sites)), [""; 0]);
    let elsewhere = [declared(folder("/srv/way/docs"), "sites")];
    assert_eq!(ids(&manifest.removals(&elsewhere, &sites)), ["directory /srv/way/to"]);
}

/// Writes a manifest of these elements.
fn write(elements: &[ByteBuf], host: &Host) {
    std::fs::create_dir_all(host.state_dir()).unwrap();
    std::fs::write(path(host), encode(&elements).unwrap()).unwrap();
}

fn elements(host: &Host) -> Vec<ByteBuf> {
    decode(&std::fs::read(path(host)).unwrap()).unwrap()
}

fn number(format: u32) -> ByteBuf {
    ByteBuf::from(encode(&Format { format }).unwrap())
}

#[tokio::test]
async fn a_manifest_without_a_number_is_read_and_gets_it_when_it_is_written() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let entry = made(File::text("/www/page", "x"), "sites", &host).await;
    let mut manifest = Manifest::default();
    manifest.take_in(&[entry], true);
    let owned = ByteBuf::from(encode(&manifest.owned[0]).unwrap());
    write(std::slice::from_ref(&owned), &host);

    let read = Manifest::load(&host).unwrap();
    read.save(&host).unwrap();

    assert_eq!(elements(&host), [number(1), owned.clone()]);
    let again = Manifest::load(&host).unwrap();
    assert_eq!((ids(&again.originals()), again.strange()), (ids(&manifest.originals()), 0));
    again.save(&host).unwrap();
    assert_eq!(elements(&host), [number(1), owned], "the number is there once");
}

/// A version from before the number keeps what it cannot read as an `Owned`.
#[test]
fn the_number_is_no_owned_thing_to_an_older_version() {
    assert!(decode::<Owned>(&number(1)).is_err());
}

#[test]
fn a_manifest_of_a_newer_format_is_refused_and_stays_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let newer = [ByteBuf::from("of another shape"), number(2)];
    write(&newer, &host);

    let error = Manifest::load(&host).unwrap_err();

    let failure = crate::failure::Failure::from(error);
    assert!(failure.what.ends_with("was written by a newer version of hwctl than this one"));
    assert!(failure.what.contains("/var/lib/hwctl/manifest"), "{failure:?}");
    assert!(failure.why[0].starts_with("it has format 2"), "{failure:?}");
    assert_eq!(failure.not_done.as_deref(), Some("nothing was changed on the host"));
    assert!(failure.hint.unwrap().starts_with("use the newer hwctl"));
    assert_eq!(elements(&host), newer);
}

/// A manifest of one file.
fn sample() -> Vec<u8> {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entry = runtime.block_on(made(File::text("/www/page", "x"), "sites", &host));
    let mut manifest = Manifest::default();
    manifest.take_in(&[entry], true);
    std::fs::create_dir_all(host.state_dir()).unwrap();
    manifest.save(&host).unwrap();
    std::fs::read(path(&host)).unwrap()
}

proptest::proptest! {
    #[test]
    fn a_damaged_manifest_is_read_or_refused(bytes in crate::damaged::bytes(&[&sample()])) {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        std::fs::create_dir_all(host.state_dir()).unwrap();
        std::fs::write(path(&host), &bytes).unwrap();
        let Ok(manifest) = Manifest::read(&host) else { return Ok(()) };
        manifest.originals();
    }
}

#[tokio::test]
async fn what_is_settled_is_left_out_and_stays_in_the_file() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let mut manifest = Manifest::default();
    let long = format!("/www/{}", "ä".repeat(200));
    let paths = ["/www/a", "/www/b", &long];
    for path in paths {
        manifest.take_in(&[made(File::text(path, "x"), "sites", &host).await], true);
    }
    let folder = Directory::new("/www/sub", 0o755, Owner::root());
    manifest.take_in(&[made(folder, "sites", &host).await], true);
    std::fs::create_dir_all(host.state_dir()).unwrap();
    manifest.save(&host).unwrap();
    let ids = |manifest: &Manifest| {
        manifest.resources().map(|(_, it)| it.id().to_string()).collect::<Vec<_>>()
    };

    let settled = ["/www/b", &long, "/www/sub"].map(PathBuf::from).into_iter().collect();
    let beside = Manifest::load_beside(&settled, &host).unwrap();

    assert_eq!(ids(&beside), ["file /www/a"]);
    assert_eq!(ids(&Manifest::load(&host).unwrap()).len(), 4);
    // They are left out before they are decoded.
    for owned in &manifest.owned {
        let encoded = encode(owned).unwrap();
        assert_eq!(encoded_path(&encoded), owned.resource.path());
        for length in 0..encoded.len() {
            let _ = encoded_path(&encoded[..length]);
        }
    }
    let unit = crate::resource::Unit::new("x.service", vec![], crate::resource::OnChange::Restart);
    let unit = Owned {
        tag: "x".into(),
        original: Saved::clone(&manifest.owned[0].original),
        resource: unit.into(),
        is_restored: false,
    };
    assert_eq!(encoded_path(&encode(&unit).unwrap()), None);
}
