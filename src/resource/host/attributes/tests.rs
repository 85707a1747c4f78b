//! Files that are replaced and given back, on the file system of the tests.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use rustix::fs::setxattr;

use super::*;
use crate::resource::host::fs::Owner;
use crate::resource::host::path_state::PathState;
use crate::resource::kinds::file::content::Content;
use crate::resource::kinds::file::{Absent, File as Page};
use crate::resource::kinds::link::Link;
use crate::resource::registry::Resource;

/// `user::rw-,user:1000:rw-,group::r--,mask::rw-,other::---`.
const LIST: &[u8] = b"\x02\0\0\0\
    \x01\0\x06\0\xff\xff\xff\xff\
    \x02\0\x06\0\xe8\x03\0\0\
    \x04\0\x04\0\xff\xff\xff\xff\
    \x10\0\x06\0\xff\xff\xff\xff\
    \x20\0\0\0\xff\xff\xff\xff";

fn host(root: &Path) -> Host {
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/passwd"), "ubuntu:x:1000:1000::/:/bin/sh\n").unwrap();
    Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()))
}

/// Whoever runs the tests.
fn me() -> Owner {
    Owner::new(
        rustix::process::geteuid().as_raw().to_string(),
        rustix::process::getegid().as_raw().to_string(),
    )
}

fn page(path: &str) -> Resource {
    Page::new(path, Content::text("new"), 0o644, me()).into()
}

/// What hwctl may put into a page's place.
fn replacements() -> [Resource; 3] {
    let path = || "/page".into();
    let link = Link { path: path(), target: "/elsewhere".into() };
    [page("/page"), link.into(), Absent { path: path(), brought_by: None }.into()]
}

fn in_2001() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(981_173_106, 789_000_000)
}

/// Writes a page of somebody else, with all that a page can have.
fn write_page(path: &Path) {
    fs::write(path, "mine").unwrap();
    setxattr(path, ACL, LIST, XattrFlags::empty()).unwrap();
    setxattr(path, "user.note", b"kept", XattrFlags::empty()).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    let flags = ioctl_getflags(&file).unwrap();
    ioctl_setflags(&file, flags | IFlags::NODUMP).unwrap();
    file.set_modified(in_2001()).unwrap();
}

#[tokio::test]
async fn all_of_a_page_comes_back_whatever_took_its_place() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = root.path().join("page");
    for resource in replacements() {
        write_page(&path);
        let before = resource.examine(&host).await.unwrap();

        resource.apply(&before.before, &host).await.unwrap();
        assert_eq!(resource.examine(&host).await.unwrap().change, None);
        resource.undo(&before.before, &host).await.unwrap();

        let file = File::open(&path).unwrap();
        let found = file.metadata().unwrap();
        let now = Attributes::of_file(&file, &found, &host).unwrap();
        assert_eq!(now.extended.as_ref().unwrap()[ACL], LIST, "{:?}", resource.id());
        assert_eq!(now.extended.as_ref().unwrap()["user.note"], b"kept");
        assert!(ioctl_getflags(&file).unwrap().contains(IFlags::NODUMP));
        assert_eq!(found.modified().unwrap(), in_2001());
        assert_eq!(found.mode() & 0o7777, 0o660, "the group's bits are the mask");
        fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn a_page_that_is_replaced_has_no_rights_beyond_its_mode_and_the_plan_says_so() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = root.path().join("page");
    write_page(&path);
    let resource = page("/page");
    let before = resource.examine(&host).await.unwrap();

    let change = format!("{:?}", before.change);
    let shown = "user::rw-,user:ubuntu:rw-,group::r--,mask::rw-,other::---";
    assert!(change.contains(shown), "{change}");
    resource.apply(&before.before, &host).await.unwrap();

    let file = File::open(&path).unwrap();
    let now = Attributes::of_folder(&file).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
    assert!(!now.has_rights(), "{now:?}");
    assert_eq!(now.extended.unwrap()["user.note"], b"kept", "a note is no right");
    assert!(ioctl_getflags(&file).unwrap().contains(IFlags::NODUMP));
}

#[tokio::test]
async fn an_acl_alone_is_a_difference_and_a_time_is_none() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = root.path().join("page");
    let resource = page("/page");
    let absent = resource.examine(&host).await.unwrap().before;
    resource.apply(&absent, &host).await.unwrap();
    let made = PathState::read(&path, &host).unwrap();

    File::open(&path).unwrap().set_modified(in_2001()).unwrap();
    assert_eq!(resource.examine(&host).await.unwrap().change, None);
    assert_eq!(PathState::read(&path, &host).unwrap(), made);

    setxattr(&path, ACL, LIST, XattrFlags::empty()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(resource.examine(&host).await.unwrap().change.is_some());
    assert_ne!(PathState::read(&path, &host).unwrap(), made);
}

#[tokio::test]
async fn what_a_folder_hands_down_is_no_right_of_what_hwctl_makes() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    setxattr(root.path(), DEFAULT_ACL, LIST, XattrFlags::empty()).unwrap();
    let folder = crate::resource::kinds::directory::Directory::new("/folder", 0o750, me());
    for resource in [page("/page"), folder.into()] {
        let before = resource.examine(&host).await.unwrap().before;
        resource.apply(&before, &host).await.unwrap();
    }

    let read = |name: &str| {
        let file = File::open(root.path().join(name)).unwrap();
        (file.metadata().unwrap().mode() & 0o7777, Attributes::of_folder(&file).unwrap())
    };
    let (mode, page) = read("page");
    assert!(mode == 0o644 && !page.has_rights(), "{mode:o} {page:?}");
    let (mode, folder) = read("folder");
    assert!(mode == 0o750 && folder.acl(&host).is_none(), "{mode:o} {folder:?}");
    assert!(folder.default_acl(&host).is_some(), "what others make in it follows their rule");
}

#[tokio::test]
async fn a_page_with_other_names_comes_back_as_the_same_inode() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let (path, other) = (root.path().join("page"), root.path().join("other"));
    for resource in replacements() {
        write_page(&path);
        fs::hard_link(&path, &other).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        let weighed = resource.read(&host).await.unwrap()(&host).unwrap();
        let stays = weighed.stays.unwrap();
        assert_eq!(stays, "its other name (a hard link) keeps the content of before");
        let before = resource.examine(&host).await.unwrap().before;

        resource.apply(&before, &host).await.unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
        resource.restore(&before, &host).await.unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.ino(), found.nlink()), (inode, 2), "{:?}", resource.id());

        // Changed by its other name meanwhile: both contents live on.
        resource.apply(&before, &host).await.unwrap();
        fs::write(&other, "changed").unwrap();
        resource.undo(&before, &host).await.unwrap();
        let text = |path| fs::read_to_string(path).unwrap();
        assert_eq!((text(&path), text(&other)), ("mine".to_owned(), "changed".to_owned()));
        let names = [&path, &other].map(|path| fs::metadata(path).unwrap().nlink());
        assert_eq!(names, [1, 1], "hwctl keeps no name");

        fs::remove_file(&path).unwrap();
        fs::remove_file(&other).unwrap();
    }
}

#[tokio::test]
async fn an_undo_leaves_alone_what_is_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = root.path().join("page");
    write_page(&path);
    fs::hard_link(&path, root.path().join("other")).unwrap();
    let before = page("/page").examine(&host).await.unwrap().before;
    let found = fs::metadata(&path).unwrap();
    // A run that died between noting the state and the change.
    PathState::read(&path, &host).unwrap().keep(&path, &host).unwrap();

    page("/page").undo(&before, &host).await.unwrap();

    let now = fs::metadata(&path).unwrap();
    assert_eq!((now.ino(), now.nlink()), (found.ino(), 2));
}

#[tokio::test]
async fn holes_come_back_as_holes() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = root.path().join("page");
    let file = File::create(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", 8 << 20).unwrap();
    let bytes = fs::read(&path).unwrap();
    let before = page("/page").examine(&host).await.unwrap().before;

    page("/page").apply(&before, &host).await.unwrap();
    page("/page").undo(&before, &host).await.unwrap();

    assert!(fs::read(&path).unwrap() == bytes);
    let blocks = fs::metadata(&path).unwrap().blocks();
    assert!(blocks < 100, "{blocks} blocks are taken");
}

#[tokio::test]
async fn a_links_owner_and_time_come_back() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = root.path().join("page");
    std::os::unix::fs::symlink("/mine", &path).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::lchown(&path, Some(1000), Some(1000)).unwrap();
    }
    let found = fs::symlink_metadata(&path).unwrap();
    let before = page("/page").examine(&host).await.unwrap().before;

    page("/page").apply(&before, &host).await.unwrap();
    page("/page").undo(&before, &host).await.unwrap();

    let now = fs::symlink_metadata(&path).unwrap();
    assert_eq!((now.uid(), now.gid()), (found.uid(), found.gid()));
    assert_eq!(now.modified().unwrap(), found.modified().unwrap());
    assert_eq!(fs::read_link(&path).unwrap(), Path::new("/mine"));
}

#[test]
fn a_record_of_an_older_hwctl_is_read_and_differs_from_nothing() {
    #[derive(Serialize)]
    enum Old {
        File {
            mode: u32,
            uid: u32,
            gid: u32,
            #[serde(with = "serde_bytes")]
            bytes: Vec<u8>,
        },
        Link {
            target: PathBuf,
        },
        Directory(u32, u32, u32),
    }
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = root.path().join("page");
    write_page(&path);
    let found = fs::metadata(&path).unwrap();
    let old = |old: &Old| crate::resource::model::saved::encode(old).unwrap();

    let (uid, gid) = (found.uid(), found.gid());
    let file = old(&Old::File { mode: 0o660, uid, gid, bytes: b"mine".to_vec() });
    let file: PathState = crate::resource::model::saved::decode(&file).unwrap();
    assert_eq!(file, PathState::read(&path, &host).unwrap());
    let link: PathState =
        crate::resource::model::saved::decode(&old(&Old::Link { target: "/x".into() })).unwrap();
    assert!(matches!(link, PathState::Link { .. }));
    let folder = old(&Old::Directory(0o755, 0, 0));
    let folder: crate::resource::kinds::directory::DirectoryState =
        crate::resource::model::saved::decode(&folder).unwrap();
    assert!(matches!(
        folder,
        crate::resource::kinds::directory::DirectoryState::Directory(0o755, 0, 0, _)
    ));
}
