use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A key of this number, with a comment.
fn key(number: u8) -> SshKey {
    let kind = b"ssh-ed25519";
    let bytes = [&[0, 0, 0, 11][..], kind, &[0, 0, 0, 32], &[number; 32]].concat();
    let text = format!("ssh-ed25519 {} key-{number}", BASE64_STANDARD.encode(bytes));
    SshKey::parse(&text).unwrap()
}

fn keys(numbers: &[u8]) -> SshKeys {
    SshKeys { login: "me".to_owned(), keys: numbers.iter().copied().map(key).collect() }
}

/// A host with one user, who is the one that runs the test.
fn host() -> (TempDir, Host) {
    let root = tempfile::tempdir().unwrap();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    fs::create_dir_all(root.path().join("etc")).unwrap();
    fs::create_dir_all(root.path().join("home/me")).unwrap();
    let users = format!("other:x:1:1::/:/bin/sh\nme:x:{uid}:{gid}:Me,,:/home/me:/bin/sh\n");
    fs::write(root.path().join("etc/passwd"), users).unwrap();
    let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
    (root, host)
}

fn write(root: &TempDir, bytes: &[u8]) {
    let folder = root.path().join("home/me/.ssh");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(folder.join("authorized_keys"), bytes).unwrap();
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.join("authorized_keys"), private).unwrap();
}

fn live(root: &TempDir) -> Vec<u8> {
    fs::read(root.path().join("home/me/.ssh/authorized_keys")).unwrap()
}

async fn apply(wanted: &SshKeys, host: &Host) -> SshKeysState {
    let before = wanted.read(host).await.unwrap();
    wanted.apply(&before, host).await.unwrap();
    host.forget();
    let after = wanted.read(host).await.unwrap();
    assert_eq!(wanted.diff(&after, host).unwrap(), None);
    before
}

#[tokio::test]
async fn a_user_without_keys_gets_a_private_file_in_a_private_folder() {
    let (root, host) = host();

    let before = apply(&keys(&[1, 2]), &host).await;

    let (one, two) = (key(1), key(2));
    let expected = format!("# BEGIN hwctl\n{}\n{}\n# END hwctl\n", one.line(), two.line());
    assert_eq!(String::from_utf8(live(&root)).unwrap(), expected);
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("home/me/.ssh"), mode("home/me/.ssh/authorized_keys")), (0o700, 0o600));
    keys(&[1, 2]).undo(&before, &host).await.unwrap();
    assert!(!root.path().join("home/me/.ssh").exists());
}

#[tokio::test]
async fn lines_of_others_are_kept_byte_for_byte() {
    let (root, host) = host();
    let others = b"# mine\r\n\tfrom=\"10.0.0.1\" ssh-rsa AAAA \xff\n\n\nno end of line";
    write(&root, others);

    let before = apply(&keys(&[1]), &host).await;
    assert!(live(&root).ends_with(&others[..]));
    apply(&keys(&[2]), &host).await;
    assert!(live(&root).ends_with(&others[..]));
    keys(&[2]).undo(&before, &host).await.unwrap();

    assert_eq!(live(&root), others);
}

#[tokio::test]
async fn what_others_add_meanwhile_stays_when_the_keys_go() {
    let (root, host) = host();
    let before = apply(&keys(&[1]), &host).await;
    let added = format!("{}\n", key(9).line());
    write(&root, &[&live(&root)[..], added.as_bytes()].concat());
    fs::write(root.path().join("home/me/.ssh/config"), "").unwrap();

    let now = keys(&[1]).read(&host).await.unwrap();
    let back = keys(&[1]).diff_back(&now, &before, &host).await.unwrap();
    assert!(matches!(back, Back::Change(_)), "{back:?}");
    keys(&[1]).undo(&before, &host).await.unwrap();

    assert_eq!(String::from_utf8(live(&root)).unwrap(), added);
    let now = keys(&[1]).read(&host).await.unwrap();
    assert_eq!(keys(&[1]).diff_back(&now, &before, &host).await.unwrap(), Back::Nothing);
}

#[tokio::test]
async fn a_key_that_others_let_in_stays_where_it_is() {
    let (root, host) = host();
    let line = format!("restrict,pty {} renamed\n", key(1).line());
    let disabled = format!("# {}\n", key(2).line());
    write(&root, format!("{line}{disabled}").as_bytes());

    let state = keys(&[1]).read(&host).await.unwrap();
    assert_eq!(keys(&[1]).diff(&state, &host).unwrap(), None);
    let stays = keys(&[1]).stays(&state).unwrap().unwrap();
    assert!(stays.contains("SHA256:") && stays.ends_with("key-1"), "{stays}");
    apply(&keys(&[1, 2]), &host).await;

    let expected = format!("# BEGIN hwctl\n{}\n# END hwctl\n{line}{disabled}", key(2).line());
    assert_eq!(String::from_utf8(live(&root)).unwrap(), expected);
}

#[tokio::test]
async fn the_plan_names_keys_that_come_and_go_by_their_fingerprints() {
    let (_root, host) = host();
    apply(&keys(&[1, 2]), &host).await;

    let state = keys(&[2, 3]).read(&host).await.unwrap();
    let change = keys(&[2, 3]).diff(&state, &host).unwrap().unwrap();

    let named = |number: u8, before: Option<&str>, after: Option<&str>| Detail::Attribute {
        name: key(number).to_string(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    };
    assert_eq!(change.details, [named(1, Some("let in"), None), named(3, None, Some("let in"))]);
}

#[tokio::test]
async fn a_link_that_a_user_plants_is_refused_and_its_target_left_alone() {
    let (root, host) = host();
    let (home, precious) = (root.path().join("home/me"), root.path().join("precious"));
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("authorized_keys"), "theirs").unwrap();
    let refused = async |what: &str| {
        let state = keys(&[1]).read(&host).await.unwrap();
        let error = format!("{:#}", keys(&[1]).diff(&state, &host).unwrap_err());
        assert!(error.contains("symbolic link") && error.contains(what), "{error}");
        assert!(keys(&[1]).apply(&state, &host).await.is_err());
        assert!(keys(&[1]).undo(&state, &host).await.is_err());
    };

    symlink(&precious, home.join(".ssh")).unwrap();
    refused("/home/me/.ssh`").await;
    fs::remove_file(home.join(".ssh")).unwrap();
    fs::create_dir(home.join(".ssh")).unwrap();
    symlink(precious.join("authorized_keys"), home.join(".ssh/authorized_keys")).unwrap();
    refused("/home/me/.ssh/authorized_keys`").await;

    assert_eq!(fs::read_to_string(precious.join("authorized_keys")).unwrap(), "theirs");
}

#[tokio::test]
async fn a_user_who_does_not_exist_and_a_block_without_end_are_refused_with_a_way_on() {
    let (root, host) = host();
    let nobody = SshKeys { login: "nobody".to_owned(), ..keys(&[1]) };
    let state = nobody.read(&host).await.unwrap();
    let error = nobody.diff(&state, &host).unwrap_err();
    assert!(format!("{error:#}").contains("no user `nobody`"), "{error:#}");

    write(&root, format!("# BEGIN hwctl\n{}\n", key(1).line()).as_bytes());
    let state = keys(&[1]).read(&host).await.unwrap();
    let error = keys(&[1]).diff(&state, &host).unwrap_err();
    assert!(format!("{error:#}").contains("# END hwctl"), "{error:#}");
}

#[test]
fn only_one_whole_key_without_options_is_taken() {
    let good = key(1).line().to_owned();
    let bytes = good.split(' ').nth(1).unwrap();
    for bad in [
        String::new(),
        "ssh-ed25519".to_owned(),
        "ssh-ed25519 AAAA".to_owned(),
        format!("ssh-rsa {bytes}"),
        format!("no-pty {good}"),
        format!("{good}\n{good}"),
        format!("# {good}"),
    ] {
        assert!(SshKey::parse(&bad).is_err(), "{bad:?}");
    }
    assert_eq!(SshKey::parse(&format!(" {good}\n")).unwrap(), key(1));
}

proptest! {
    #[test]
    fn a_damaged_file_keeps_all_lines_of_others(
        bytes in crate::damaged::bytes(&[
            b"ssh-rsa AAAA me\n# BEGIN hwctl\nssh-rsa BBBB\n# END hwctl\r\n# note",
        ])
    ) {
        let Ok(parted) = Parted::of(&bytes) else { return Ok(()) };
        let wanted = [key(1)];
        let lines = parted.lacking(&wanted).into_iter().map(|key| key.line().as_bytes());
        let whole = parted.with_block(lines);
        let again = Parted::of(&whole).unwrap();

        prop_assert_eq!(&again.others, &parted.others);
        prop_assert!(again.block == Some(vec![wanted[0].line().as_bytes()]) || again.block.is_none());
    }
}
