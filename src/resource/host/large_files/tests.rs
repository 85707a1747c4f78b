//! Large files that are replaced and given back, on the file system of the tests.

use std::io::Cursor;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::*;
use crate::resource::host::fs::Owner;
use crate::resource::host::path_state::PathState;
use crate::resource::kinds::file::content::Content;
use crate::resource::kinds::file::{Absent, File as Page};
use crate::resource::kinds::link::Link;
use crate::resource::model::blob::Blob;
use crate::resource::model::digest::sha256;
use crate::resource::registry::Resource;

/// A byte more than a small file has.
const SIZE: usize = (16 << 20) + 1;

/// A host whose blobs are made of the first byte of their keys.
fn host(root: &Path) -> Host {
    let blob = |blob: &Blob| -> Result<Box<dyn Read + Send>> {
        let text = [b'a', b'b', b'c'].into_iter().find(|byte| blob_of(*byte) == *blob);
        Ok(Box::new(Cursor::new(vec![text.context("no such blob")?; SIZE])))
    };
    Host::new(root, Box::new(blob), Box::new(|_| ()))
}

fn blob_of(byte: u8) -> Blob {
    Blob { key: sha256(&vec![byte; SIZE]), size: SIZE as u64 }
}

fn page(content: Content) -> Resource {
    let owner = Owner::new(
        rustix::process::geteuid().as_raw().to_string(),
        rustix::process::getegid().as_raw().to_string(),
    );
    Page::new("/page", content, 0o644, owner).into()
}

fn replacements() -> [Resource; 4] {
    let path = || "/page".into();
    let link = Link { path: path(), target: "/elsewhere".into() };
    let absent = Absent { path: path(), brought_by: None };
    let other = page(Content::Blob(blob_of(b'b')));
    [page(Content::text("new")), other, link.into(), absent.into()]
}

/// What is at a path: content, mode and time.
fn found(path: &Path) -> (String, u32, i64) {
    let file = File::open(path).unwrap();
    let found = file.metadata().unwrap();
    (file_digest(&file).unwrap(), found.permissions().mode(), found.mtime())
}

#[tokio::test]
async fn a_large_file_comes_back_whatever_was_in_its_place() {
    for resource in replacements() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let path = root.path().join("page");
        fs::write(&path, vec![b'a'; SIZE]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before_it = found(&path);
        let examined = resource.examine(&host).await.unwrap();
        assert!(examined.before.size() < 4096, "the content is in the record");
        assert!(examined.change.is_some());

        resource.apply(&examined.before, &host).await.unwrap();

        let after = resource.examine(&host).await.unwrap();
        assert_eq!(after.change, None, "{}", resource.id());
        assert_eq!(kept_large_files(&host), [blob_of(b'a').key], "{}", resource.id());
        resource.undo(&examined.before, &host).await.unwrap();
        assert_eq!(found(&path), before_it, "{}", resource.id());
        // Whoever writes to the file that came back does not write to what is kept.
        fs::write(&path, "other").unwrap();
        resource.undo(&examined.before, &host).await.unwrap();
        assert_eq!(found(&path), before_it, "{}", resource.id());
        let kept = kept_large_files(&host);
        give_up_large_files(&kept, &host).unwrap();
        assert_eq!(kept_large_files(&host), [""; 0]);
    }
}

#[tokio::test]
async fn content_that_somebody_changed_or_lost_is_not_put_back() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = root.path().join("page");
    fs::write(&path, vec![b'a'; SIZE]).unwrap();
    let writer = File::options().write(true).open(&path).unwrap();
    let page = page(Content::text("new"));
    let before = page.examine(&host).await.unwrap().before;
    page.apply(&before, &host).await.unwrap();

    writer.write_at(b"later", 0).unwrap();

    let error = format!("{:#}", page.undo(&before, &host).await.unwrap_err());
    assert!(error.contains("no longer has the content that hwctl has kept"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "new", "what serves stays");
    give_up_large_files(&kept_large_files(&host), &host).unwrap();
    let (_, back) = page.examine_back(&before, &host).await.unwrap();
    let crate::resource::Back::Kept(why) = back else { panic!("{back:?}") };
    assert!(why.contains("is no longer kept on the host"), "{why}");
}

#[tokio::test]
async fn a_record_of_an_older_version_is_of_the_same_file() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = root.path().join("page");
    fs::write(&path, vec![b'a'; SIZE]).unwrap();
    let now = PathState::read(&path, &host).unwrap();
    let (mode, uid, gid) = now.access().unwrap();
    let attributes = Box::new(now.attributes().unwrap().clone());
    let older = PathState::File { mode, uid, gid, bytes: vec![b'a'; SIZE], attributes };

    assert_eq!(older, now);
    fs::write(&path, vec![b'b'; SIZE]).unwrap();
    assert_ne!(older, PathState::read(&path, &host).unwrap());
    older.restore(&path, &host).unwrap();
    assert_eq!(older, PathState::read(&path, &host).unwrap());
}

#[tokio::test]
async fn a_file_that_is_changed_in_part_has_to_be_small() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    fs::write(root.path().join("page"), vec![b'a'; SIZE]).unwrap();
    let block = Content::Block { marker: "hwctl".into(), text: "x".into() };

    let error = format!("{:#}", page(block).examine(&host).await.unwrap_err());

    assert!(error.contains("hwctl adds to files of up to 16 MiB"), "{error}");
}

#[test]
fn holes_of_a_copy_are_where_they_were() {
    let root = tempfile::tempdir().unwrap();
    let from = File::create_new(root.path().join("from")).unwrap();
    from.set_len(1 << 20).unwrap();
    from.write_at(b"end", (1 << 20) - 3).unwrap();
    let mut to = File::create_new(root.path().join("to")).unwrap();

    copy(&mut File::open(root.path().join("from")).unwrap(), &mut to, true).unwrap();

    let text = |name| fs::read(root.path().join(name)).unwrap();
    assert!(text("from") == text("to"));
    assert!(to.metadata().unwrap().blocks() * 512 < 64 << 10);
}

#[test]
fn a_file_with_a_huge_hole_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("huge");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();

    let error = format!("{:#}", PathState::read(&path, &host(root.path())).unwrap_err());

    assert!(error.contains("hwctl replaces files of up to 8192 MiB"), "{error}");
}
