//! What an archive of images says that it holds, as `docker save` writes it: a tar with a list in `manifest.json`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;

use crate::failure::Failure;

const BLOCK: usize = 512;
/// More than the list of any archive has, and the configuration of any image.
const MAX_LIST: u64 = 4 << 20;

/// An image of an archive.
#[derive(Debug, PartialEq)]
pub(crate) struct ArchivedImage {
    /// What tells it from one of the same name in another archive.
    pub(crate) digest: String,
    /// Where it keeps data, by its own account.
    pub(crate) volumes: Vec<String>,
}

/// One image of an archive.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    /// The file with its configuration, whose name is its digest.
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

/// What an image says of itself.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    #[serde(default)]
    config: Option<Defaults>,
}

/// What containers of an image are made with.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Defaults {
    #[serde(default)]
    volumes: Option<BTreeMap<String, serde_json::Value>>,
}

/// The image of this name in an archive. `None` where the archive has no list, as one that is
/// compressed: Docker says then what is in it. Refuses an archive with a list that lacks the image.
pub(crate) fn image_in(archive: &Path, reference: &str) -> Result<Option<ArchivedImage>, Failure> {
    let list = file_in(archive, "manifest.json");
    let Some(entries) = list.and_then(|list| serde_json::from_slice::<Vec<Entry>>(&list).ok())
    else {
        return Ok(None);
    };
    let names = |entry: &Entry| entry.repo_tags.clone().unwrap_or_default();
    let is_meant = |name: &String| whole(name) == whole(reference);
    if let Some(entry) = entries.iter().find(|entry| names(entry).iter().any(is_meant)) {
        let digest = entry.config.clone();
        return Ok(Some(ArchivedImage { volumes: volumes_of(archive, &digest), digest }));
    }
    let named: Vec<_> = entries.iter().flat_map(names).collect();
    if named.is_empty() {
        return Ok(None);
    }
    let problem =
        format!("`{}` has `{}`, and not `{reference}`", archive.display(), named.join("`, `"));
    Err(Failure::usage(problem)
        .not_done("nothing was changed")
        .hint("name the image as it is called in the archive, or save the right one"))
}

/// Where an image keeps data, by the configuration in this file of the archive.
fn volumes_of(archive: &Path, config: &str) -> Vec<String> {
    let text = file_in(archive, config).unwrap_or_default();
    let configuration: Configuration = serde_json::from_slice(&text).unwrap_or_default();
    let volumes = configuration.config.and_then(|defaults| defaults.volumes);
    volumes.unwrap_or_default().into_keys().collect()
}

/// A name of an image with what Docker adds to it.
fn whole(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

/// A small file of a tar, if it is one and has it.
fn file_in(archive: &Path, name: &str) -> Option<Vec<u8>> {
    let file = File::open(archive).ok()?;
    find(file, name).ok().flatten()
}

fn find(mut file: File, wanted: &str) -> std::io::Result<Option<Vec<u8>>> {
    let mut header = [0; BLOCK];
    loop {
        file.read_exact(&mut header)?;
        let size = octal(&header[124..136]);
        let Some(size) = size.filter(|_| header[257..262] == *b"ustar") else { return Ok(None) };
        let name = header[..100].split(|byte| *byte == 0).next().unwrap_or_default();
        if name == wanted.as_bytes() && size <= MAX_LIST {
            let mut text = Vec::new();
            file.take(size).read_to_end(&mut text)?;
            return Ok(Some(text));
        }
        let whole = i64::try_from(size.next_multiple_of(BLOCK as u64)).unwrap_or(i64::MAX);
        file.seek(SeekFrom::Current(whole))?;
    }
}

/// A number as tar has it. Sizes of 8 GiB and more are written in another way.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_image_of_a_name_is_found_and_another_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let list = r#"[{"Config":"blobs/sha256/aa","RepoTags":["own:2","other:1"],"Layers":[]}]"#;
        std::fs::write(folder.path().join("layer"), vec![7; 5000]).unwrap();
        std::fs::write(folder.path().join("manifest.json"), list).unwrap();
        let config = r#"{"architecture":"amd64","config":{"Cmd":["x"],"Volumes":{"/data":{}}}}"#;
        std::fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        std::fs::write(folder.path().join("blobs/sha256/aa"), config).unwrap();
        let archive = folder.path().join("own.tar");
        let made = Command::new("tar")
            .arg("-C")
            .arg(folder.path())
            .args(["--format=ustar", "-cf", "own.tar", "layer", "manifest.json", "blobs"])
            .current_dir(folder.path())
            .status()
            .unwrap();
        assert!(made.success());

        for name in ["own:2", "docker.io/library/own:2"] {
            let image = image_in(&archive, name).unwrap().unwrap();
            assert_eq!(image.digest, "blobs/sha256/aa", "{name}");
            assert_eq!(image.volumes, ["/data"], "{name}");
        }
        let refused = image_in(&archive, "own:9").unwrap_err();
        assert!(refused.what.contains("has `own:2`, `other:1`, and not `own:9`"), "{refused:?}");
        std::fs::write(&archive, "no tar").unwrap();
        assert_eq!(image_in(&archive, "own:2").unwrap(), None);
    }
}
