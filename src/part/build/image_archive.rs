//! What an archive of images says that it holds, as `docker save` writes it: a tar with a list in `manifest.json`.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;

use crate::failure::Failure;

const BLOCK: usize = 512;
/// More than the list of any archive has.
const MAX_LIST: u64 = 4 << 20;

/// One image of an archive.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    /// The file with its configuration, whose name is its digest.
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

/// The digest by which the image of this name is known in an archive. `None` where the archive has no list, as one that is
/// compressed: Docker says then what is in it. Refuses an archive with a list that lacks the image.
pub(crate) fn image_in(archive: &Path, reference: &str) -> Result<Option<String>, Failure> {
    let list = File::open(archive).ok().and_then(|file| list(file).ok().flatten());
    let Some(entries) = list.and_then(|list| serde_json::from_slice::<Vec<Entry>>(&list).ok())
    else {
        return Ok(None);
    };
    let names = |entry: &Entry| entry.repo_tags.clone().unwrap_or_default();
    let is_meant = |name: &String| whole(name) == whole(reference);
    if let Some(entry) = entries.iter().find(|entry| names(entry).iter().any(is_meant)) {
        return Ok(Some(entry.config.clone()));
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

/// A name of an image with what Docker adds to it.
fn whole(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

/// The text of `manifest.json` in a tar, if it is one.
fn list(mut file: File) -> std::io::Result<Option<Vec<u8>>> {
    let mut header = [0; BLOCK];
    loop {
        file.read_exact(&mut header)?;
        let size = octal(&header[124..136]);
        let Some(size) = size.filter(|_| header[257..262] == *b"ustar") else { return Ok(None) };
        let name = header[..100].split(|byte| *byte == 0).next().unwrap_or_default();
        if name == b"manifest.json" && size <= MAX_LIST {
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
        let archive = folder.path().join("own.tar");
        let made = Command::new("tar")
            .arg("-C")
            .arg(folder.path())
            .args(["--format=ustar", "-cf", "own.tar", "layer", "manifest.json"])
            .current_dir(folder.path())
            .status()
            .unwrap();
        assert!(made.success());

        assert_eq!(image_in(&archive, "own:2").unwrap().as_deref(), Some("blobs/sha256/aa"));
        assert_eq!(
            image_in(&archive, "docker.io/library/own:2").unwrap().as_deref(),
            Some("blobs/sha256/aa")
        );
        let refused = image_in(&archive, "own:9").unwrap_err();
        assert!(refused.what.contains("has `own:2`, `other:1`, and not `own:9`"), "{refused:?}");
        std::fs::write(&archive, "no tar").unwrap();
        assert_eq!(image_in(&archive, "own:2").unwrap(), None);
    }
}
