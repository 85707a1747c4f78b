//! The law of every kind that is files, with hostile names and things in the way: after apply a
//! plan is empty, after undo the state is the one before.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;

const HOSTILE: [&str; 6] =
    ["plain", "with space", "quote'\"`$(x)", "ümläut-✓-名", "-rf", "semi;colon\nline"];

fn host(root: &Path) -> Host {
    fs::create_dir_all(root.join("etc")).unwrap();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    fs::write(root.join("etc/passwd"), format!("me:x:{uid}:{gid}::/:/bin/sh\n")).unwrap();
    fs::write(root.join("etc/group"), format!("us:x:{gid}:\n")).unwrap();
    Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()))
}

fn me() -> Owner {
    Owner::new("me", "us")
}

/// Applies, finds nothing to do, undoes, and finds the state of before.
async fn law(resource: Resource, host: &Host) {
    let before = resource.examine(host).await.unwrap();
    assert!(before.change.is_some(), "{:?} is there already", resource.id());
    let weighed = resource.read(host).await.unwrap()(host).unwrap();
    if weighed.digest.is_some() {
        // Else a unit that was started with the old content would not be restarted.
        assert_ne!(weighed.before, weighed.digest, "{:?} has not changed yet", resource.id());
    }
    resource.apply(&before.before, host).await.unwrap();
    let after = resource.examine(host).await.unwrap();
    assert_eq!(after.change, None, "{:?} is not idempotent", resource.id());
    // The way back is planned, goes there, and is then at its end.
    host.begin_plan();
    let (_, back) = resource.examine_back(&before.before, host).await.unwrap();
    assert!(matches!(back, Back::Change(_)), "{:?} has no way back", resource.id());
    resource.restore(&before.before, host).await.unwrap();
    let (_, back) = resource.examine_back(&before.before, host).await.unwrap();
    assert_eq!(back, Back::Nothing, "{:?} is not back", resource.id());
    resource.restore(&after.before, host).await.unwrap();
    let again = resource.examine(host).await.unwrap();
    assert_eq!(again.change, None, "{:?} does not come back", resource.id());
    resource.undo(&before.before, host).await.unwrap();
    let undone = resource.examine(host).await.unwrap();
    assert_eq!(undone.before, before.before, "{:?} is not undone", resource.id());
    assert_eq!(undone.change, before.change);
}

fn file(path: &Path, text: &str) -> Resource {
    let content = Content::text(text);
    File::new(path, content, 0o640, me()).into()
}

#[tokio::test]
async fn files_directories_and_links_of_any_name_hold_the_law() {
    for name in HOSTILE {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let path = Path::new("/etc").join(name);
        law(file(&path, "one\ntwo ${x} {{ y }}\n"), &host).await;
        law(Directory::new(path.clone(), 0o750, me()).into(), &host).await;
        law(Link { path: path.clone(), target: Path::new("/etc").join(name) }.into(), &host).await;
        // The same over an older file, and over its removal.
        fs::write(host.path(&path), "old").unwrap();
        fs::set_permissions(host.path(&path), fs::Permissions::from_mode(0o604)).unwrap();
        law(file(&path, "new"), &host).await;
        law(Absent { path: path.clone(), brought_by: None }.into(), &host).await;
        assert_eq!(fs::read_to_string(host.path(&path)).unwrap(), "old");
    }
}

#[tokio::test]
async fn a_link_in_a_files_place_is_replaced_and_its_target_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let precious = root.path().join("precious");
    fs::write(&precious, "mine").unwrap();
    symlink(&precious, root.path().join("etc/trap")).unwrap();
    law(file(Path::new("/etc/trap"), "ours"), &host).await;
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
    assert_eq!(fs::read_link(root.path().join("etc/trap")).unwrap(), precious);
}

#[tokio::test]
async fn what_is_in_the_way_is_named_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = Path::new("/etc/here");
    fs::create_dir(host.path(path)).unwrap();
    let link = Link { path: path.to_owned(), target: "/x".into() };
    let absent = Absent { path: path.to_owned(), brought_by: None };
    for resource in [file(path, "x"), link.into(), absent.into()] {
        let error = resource.examine(&host).await.unwrap_err();
        assert!(format!("{error:#}").contains("a directory is at `/etc/here`"), "{error:#}");
    }
    fs::remove_dir(host.path(path)).unwrap();
    fs::write(host.path(path), "a file").unwrap();
    let directory: Resource = Directory::new(path.to_owned(), 0o755, me()).into();
    assert!(directory.examine(&host).await.is_err());
    assert_eq!(fs::read_to_string(host.path(path)).unwrap(), "a file");
}

#[tokio::test]
async fn a_directory_goes_with_its_own_socket_and_stays_with_anything_else() {
    use std::os::unix::net::UnixListener;

    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = Path::new("/etc/run");
    let sockets = vec!["own".to_owned()];
    let resource: Resource = Directory { sockets, ..Directory::new(path, 0o755, me()) }.into();
    let before = resource.examine(&host).await.unwrap().before;
    let at = |name: &str| host.path(path).join(name);
    let stays = async || {
        resource.apply(&before, &host).await.unwrap();
        let kept = matches!(resource.examine_back(&before, &host).await.unwrap().1, Back::Kept(_));
        resource.undo(&before, &host).await.unwrap();
        assert_eq!(host.path(path).exists(), kept);
        kept
    };
    fs::create_dir_all(host.path(path)).unwrap();
    fs::write(at("own"), "no socket").unwrap();
    assert!(stays().await);
    fs::remove_file(at("own")).unwrap();
    drop(UnixListener::bind(at("foreign")).unwrap());
    assert!(stays().await);
    fs::remove_file(at("foreign")).unwrap();
    drop(UnixListener::bind(at("own")).unwrap());
    assert!(!stays().await);
}

#[tokio::test]
async fn a_hosts_secret_is_made_once_kept_and_used_but_never_shown() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let secret: Resource =
        HostSecret { name: "jwt-key".to_owned(), bytes: 32, renew: false }.into();
    law(secret.clone(), &host).await;
    let before = secret.examine(&host).await.unwrap();
    secret.apply(&before.before, &host).await.unwrap();
    let value = fs::read_to_string(host.state_dir().join("secrets/jwt-key")).unwrap();
    assert_eq!(value.len(), 64);
    let parts = vec![Part::Text("KEY=".to_owned()), Part::HostSecret("jwt-key".to_owned())];
    let path = Path::new("/etc/env").to_owned();
    let content = Content::Parts(parts);
    let uses: Resource = File::new(path, content, 0o600, me()).into();
    law(uses.clone(), &host).await;
    fs::write(root.path().join("etc/env"), format!("KEY={value} by hand")).unwrap();
    let change = format!("{:?}", uses.examine(&host).await.unwrap().change);
    assert!(change.contains("<secret jwt-key>") && !change.contains(&value), "{change}");
}

#[tokio::test]
async fn keys_of_a_user_hold_the_law_with_and_without_keys_of_others() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    fs::write(root.path().join("etc/passwd"), format!("me:x:{uid}:{gid}::/home/me:/bin/sh\n"))
        .unwrap();
    fs::create_dir_all(root.path().join("home/me")).unwrap();
    let text =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB me";
    let keys: Resource =
        SshKeys { login: "me".to_owned(), keys: vec![SshKey::parse(text).unwrap()] }.into();

    law(keys.clone(), &host).await;
    let folder = root.path().join("home/me/.ssh");
    fs::create_dir(&folder).unwrap();
    law(keys.clone(), &host).await;
    fs::write(folder.join("authorized_keys"), "# of others, without an end").unwrap();
    fs::set_permissions(folder.join("authorized_keys"), fs::Permissions::from_mode(0o640)).unwrap();
    law(keys, &host).await;
}

#[tokio::test]
async fn a_long_live_file_is_replaced_and_not_shown() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let path = Path::new("/etc/long");
    fs::write(host.path(path), "planted\n".repeat(1 << 20)).unwrap();
    for resource in [file(path, "ours"), Absent { path: path.to_owned(), brought_by: None }.into()]
    {
        let change = resource.examine(&host).await.unwrap().change.unwrap();
        assert!(encode(&change).unwrap().len() < 1000);
        law(resource, &host).await;
    }
}

#[tokio::test]
async fn a_secret_of_the_operator_holds_the_law_and_is_never_shown() {
    for value in ["planted", "planted \\\" $x `y`", "planted=planted:x", "  planted  ", "ü planted"]
    {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let with = |value: &str| -> Resource {
            let secret = Part::Secret { name: "db.env.KEY".to_owned(), value: Secret::new(value) };
            let (begin, end) = ("A=\"1\"\nKEY=\"".to_owned(), "\"\nB=\"1\"\n".to_owned());
            let content = Content::Parts(vec![Part::Text(begin), secret, Part::Text(end)]);
            File::new("/etc/env", content, 0o400, me()).into()
        };
        let file = with(value);

        law(file.clone(), &host).await;
        let before = file.examine(&host).await.unwrap();
        file.apply(&before.before, &host).await.unwrap();

        let written = fs::read_to_string(root.path().join("etc/env")).unwrap();
        assert_eq!(written, format!("A=\"1\"\nKEY=\"{value}\"\nB=\"1\"\n"));
        let change = with("another planted").examine(&host).await.unwrap().change.unwrap();
        let shown = format!("{:?} {change:?} {file:?}", before.change);
        assert!(shown.contains("<secret db.env.KEY>") && !shown.contains("planted"), "{shown}");
        assert!(!format!("{:?}", file.for_journal()).contains("planted"));
    }
}
