//! Stand-ins for images of registries, made of Debian's own programs, for machines that reach no registry. Each is labelled
//! as one; hosts that reach a registry pull the real image.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::command::{run, run_locked};
use super::state::{State, make_dir};
use super::{base, tools};
use crate::resource::Advise as _;

/// Held while packages are fetched.
const BUILD_LOCK: &str = "build-images";

/// What a stand-in is made of.
pub(super) struct Recipe {
    /// The image that it stands in for.
    pub(super) tag: &'static str,
    /// The archive's name. It has the number of the recipe: another recipe makes another file.
    pub(super) file: &'static str,
    /// The release of Debian.
    pub(super) release: &'static str,
    /// The packages that have the programs.
    pub(super) packages: &'static str,
    /// Its folders, each with its mode and the numbers of its user and group.
    pub(super) folders: &'static [(&'static str, u32, (u64, u64))],
    /// Its files with their texts.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Its programs: where the package has each, and where the image has it. The libraries that they need come along.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// Its links with their targets.
    pub(super) links: &'static [(&'static str, &'static str)],
    /// The program that says its version, and the words before that.
    pub(super) version: (&'static str, &'static str),
    /// The image's own settings, by the version.
    pub(super) config: fn(&str) -> Value,
}

/// The archive as `docker save` writes it, made now if it is not there.
pub(super) fn archive(recipe: &Recipe, state: &State, notify: &dyn Fn(&str)) -> Result<PathBuf> {
    let archive = state.images().join(recipe.file);
    if archive.exists() {
        return Ok(archive);
    }
    let _lock = state.lock("images")?;
    if archive.exists() {
        return Ok(archive);
    }
    tools::ensure(notify)?;
    tools::ensure_keyring(base::distribution(recipe.release)?.keyring, notify)?;
    notify(&format!("makes a stand-in for the image `{}`, once", recipe.tag));
    make_dir(&state.images())?;
    drop(state.lock(BUILD_LOCK)?);
    let scratch = state.images().join("unfinished");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).context("remove what an interrupted run left")?;
    }
    make_dir(&scratch)?;
    let root = scratch.join("root");
    extract(recipe, &state.lock_path(BUILD_LOCK)?, &root)
        .with_context(|| format!("fetch `{}` of `{}`", recipe.packages, recipe.release))
        .hint("look at the last lines above; `apt-get update` on this machine has to work too")?;
    let version = version(recipe, &root)?;
    let layer = layer(recipe, &root).context("make the layer of the image")?;
    let unfinished = scratch.join("image.tar");
    let image = image(recipe, &layer, &version)?;
    fs::write(&unfinished, image).with_context(|| format!("write `{}`", unfinished.display()))?;
    fs::rename(&unfinished, &archive)
        .with_context(|| format!("rename `{}` into place", archive.display()))?;
    fs::remove_dir_all(&scratch).context("remove the scratch folder")?;
    Ok(archive)
}

/// Unpacks the packages and what they depend on, without installing them.
fn extract(recipe: &Recipe, lock: &Path, root: &Path) -> Result<()> {
    let mut args = vec![
        "--mode=root".to_owned(),
        "--variant=extract".to_owned(),
        format!("--include={}", recipe.packages),
    ];
    args.extend(base::apt_options()?.iter().map(|opt| format!("--aptopt={opt}")));
    args.extend([recipe.release.to_owned(), root.display().to_string()]);
    run_locked(lock, "mmdebstrap", &args).map(drop)
}

/// The program's version, from its own mouth: `Redis server v=7.0.15 sha=…`.
fn version(recipe: &Recipe, root: &Path) -> Result<String> {
    let (program, before) = recipe.version;
    let said = run("chroot", &[&root.to_string_lossy(), program, "--version"])?;
    let version = said.split_once(before).and_then(|(_, rest)| rest.split_whitespace().next());
    version.map(str::to_owned).with_context(|| format!("find a version in `{}`", said.trim()))
}

/// The libraries that the programs need, as the loader of that root finds them.
fn libraries(recipe: &Recipe, root: &Path) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let chroot = root.to_string_lossy();
    for (program, _) in recipe.programs {
        let (loader, program) = (loader(root)?, format!("/{program}"));
        // A static program has none, and the loader says so by failing.
        let Ok(listed) = run("chroot", &[chroot.as_ref(), &loader, "--list", &program]) else {
            continue;
        };
        let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
        all.extend(paths.map(str::to_owned));
        all.push(loader);
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The path of the dynamic loader, which the programs of each architecture name differently.
fn loader(root: &Path) -> Result<String> {
    ["lib64", "lib"]
        .iter()
        .filter_map(|dir| Some((dir, fs::read_dir(root.join(dir)).ok()?)))
        .flat_map(|(dir, entries)| entries.flatten().map(move |entry| (dir, entry.file_name())))
        .find(|(_, name)| name.to_string_lossy().starts_with("ld-linux"))
        .map(|(dir, name)| format!("/{dir}/{}", name.to_string_lossy()))
        .context("find the dynamic loader")
}

/// The file system of the image as a tar.
fn layer(recipe: &Recipe, root: &Path) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (path, mode, owner) in recipe.folders {
        entry(&mut tar, EntryType::Directory, path, *mode, *owner, &[])?;
    }
    for (path, text) in recipe.files {
        entry(&mut tar, EntryType::Regular, path, 0o644, (0, 0), text.as_bytes())?;
    }
    for (from, to) in recipe.programs {
        program(&mut tar, &root.join(from), to)?;
    }
    for library in libraries(recipe, root)? {
        let name = library.trim_start_matches('/');
        program(&mut tar, &root.join(name), name)?;
    }
    for (path, target) in recipe.links {
        link(&mut tar, path, target)?;
    }
    Ok(tar.into_inner()?)
}

fn program(tar: &mut Builder<Vec<u8>>, from: &Path, to: &str) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("read `{}`", from.display()))?;
    entry(tar, EntryType::Regular, to, 0o755, (0, 0), &content)
}

fn link(tar: &mut Builder<Vec<u8>>, path: &str, target: &str) -> Result<()> {
    let mut header = header(EntryType::Symlink, 0o777, (0, 0), 0);
    Ok(tar.append_link(&mut header, path, target)?)
}

fn entry(
    tar: &mut Builder<Vec<u8>>,
    kind: EntryType,
    path: &str,
    mode: u32,
    owner: (u64, u64),
    content: &[u8],
) -> Result<()> {
    let mut header = header(kind, mode, owner, content.len() as u64);
    Ok(tar.append_data(&mut header, path, content)?)
}

fn header(kind: EntryType, mode: u32, (user, group): (u64, u64), size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(user);
    header.set_gid(group);
    header.set_size(size);
    header.set_mtime(0);
    header
}

/// The whole archive: the layer, the image's configuration, and the manifest that names both.
fn image(recipe: &Recipe, layer: &[u8], version: &str) -> Result<Vec<u8>> {
    let layer_id = hex(layer);
    let config = serde_json::to_vec(&config(recipe, &layer_id, version))?;
    let config_id = hex(&config);
    let layer_path = format!("{layer_id}/layer.tar");
    let manifest = json!([{
        "Config": format!("{config_id}.json"),
        "RepoTags": [recipe.tag],
        "Layers": [layer_path],
    }]);
    let mut tar = Builder::new(Vec::new());
    entry(&mut tar, EntryType::Directory, &layer_id, 0o755, (0, 0), &[])?;
    for (path, content) in [
        (layer_path.as_str(), layer),
        (&format!("{config_id}.json"), &config),
        ("manifest.json", &serde_json::to_vec(&manifest)?),
    ] {
        entry(&mut tar, EntryType::Regular, path, 0o644, (0, 0), content)?;
    }
    let mut archive = tar.into_inner()?;
    archive.flush()?;
    Ok(archive)
}

fn config(recipe: &Recipe, layer_id: &str, version: &str) -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut config = (recipe.config)(version);
    let (program, _) = recipe.version;
    let name = program.rsplit('/').next().unwrap_or(program);
    config["Labels"] = json!({ "org.hwctl.stand-in": format!("debian {name} {version}") });
    json!({
        "architecture": architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_id}")] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "hwctl lab" }],
    })
}

fn hex(content: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::lab::images::REDIS;

    #[test]
    fn the_manifest_names_what_the_archive_holds() {
        let archive = image(&REDIS, b"a layer", "7.0.15").unwrap();
        let mut found = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.insert(path, content);
        }
        let manifest: Value = serde_json::from_slice(&found["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!(["redis:7-alpine"]));
        assert_eq!(found[manifest[0]["Layers"][0].as_str().unwrap()], b"a layer");
        let config = &found[manifest[0]["Config"].as_str().unwrap()];
        let config: Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(b"a layer")));
        assert_eq!(config["config"]["Labels"]["org.hwctl.stand-in"], "debian redis-server 7.0.15");
    }
}
