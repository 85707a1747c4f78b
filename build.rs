//! Bundles the API binary: builds `app/` as a static Linux binary and compresses it.
//!
//! `HWCTL_API_BINARY` names a ready binary instead, for packagers. A build for another system than
//! Linux bundles nothing: such an operator gives `--host-binary`.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lzma_rust2::{FilterType, XzOptions, XzWriter};
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-env-changed=HWCTL_API_BINARY");
    for path in [
        "build.rs",
        "Cargo.lock",
        "app/Cargo.toml",
        "app/build.rs",
        "app/assets",
        "app/src",
        "docs",
        "limits/src",
        "templates",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    let target = env::var("TARGET")?;
    println!("cargo::rustc-env=HWCTL_TARGET={target}");
    let ready = env::var_os("HWCTL_API_BINARY").map(PathBuf::from);
    let binary = match ready {
        Some(binary) => {
            println!("cargo::rerun-if-changed={}", binary.display());
            Some(binary)
        }
        None if target.contains("linux") => Some(build(&root, &out, &target)?),
        None => None,
    };
    let source = match binary {
        Some(binary) => bundle(&binary, &out)?,
        None => "None".to_owned(),
    };
    fs::write(out.join("bundle.rs"), source)?;
    pack_pages(&root.join("docs"), &out)?;
    pack(files(&root.join("templates"), "")?, &out.join("templates.xz"))?;
    for argument in link_arguments(&target)? {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    if is_optimized()? && target.contains("linux") {
        leave_out_unwind_tables(&out)?;
    }
    Ok(())
}

/// What makes hwctl and the API smaller, for the linker.
fn link_arguments(target: &str) -> Result<Vec<&'static str>, Box<dyn Error>> {
    let mut arguments = Vec::new();
    if is_optimized()? && packs_relocations(target)? {
        arguments.push("-Wl,-z,pack-relative-relocs");
    }
    if is_optimized()? && folds_functions(target) {
        arguments.push("-Wl,--icf=all");
    }
    Ok(arguments)
}

/// Whether the linker folds functions of the same code into one: rustc's own does, which it takes by default for this
/// target since version 1.90.
fn folds_functions(target: &str) -> bool {
    target == "x86_64-unknown-linux-gnu" && env::var("RUSTC_LINKER").is_err()
}

/// Has the linker drop the tables for unwinding, which are a twelfth of the program. A panic of the release aborts and
/// needs none. Errors would use them for backtraces, and `program::run` keeps them from it.
fn leave_out_unwind_tables(out: &Path) -> Result<(), Box<dyn Error>> {
    let script = out.join("no-unwind-tables.ld");
    let sections = "*(.eh_frame) *(.eh_frame_hdr) *(.gcc_except_table .gcc_except_table.*)";
    fs::write(
        &script,
        format!("SECTIONS {{ /DISCARD/ : {{ {sections} }} }}\nINSERT AFTER .text;\n"),
    )?;
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    Ok(())
}

/// Packs the pages for `hwctl help TOPIC`.
fn pack_pages(docs: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(docs)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        // `hwctl help` itself says what is in the first, and users need not read the others.
        if is_page && !["cli", "architecture", "performance"].contains(&name.as_str()) {
            pages.push((name, path));
        }
    }
    pack(pages, &out.join("pages.xz"))
}

/// The files below a folder, each with its name there.
fn files(folder: &Path, prefix: &str) -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            found.extend(files(&path, &format!("{name}/"))?);
        } else {
            found.push((name, path));
        }
    }
    Ok(found)
}

/// Packs texts, each behind a line with its name. They are few: a large dictionary would be memory for nothing.
fn pack(mut texts: Vec<(String, PathBuf)>, archive: &Path) -> Result<(), Box<dyn Error>> {
    texts.sort();
    let mut options = XzOptions::with_preset(9);
    options.lzma_options.dict_size = 1 << 20;
    let mut encoder = XzWriter::new(fs::File::create(archive)?, options)?;
    for (name, path) in texts {
        write!(encoder, "\u{1}{name}\n{}", fs::read_to_string(path)?)?;
    }
    encoder.finish()?;
    Ok(())
}

/// Whether relative relocations can be stored packed, which saves 240 kB. The start-up code of glibc
/// applies them to itself, since version 2.36; an older one would crash.
fn packs_relocations(target: &str) -> Result<bool, Box<dyn Error>> {
    if !target.ends_with("linux-gnu") || env::var("HOST")? != target {
        return Ok(false);
    }
    let Ok(output) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else {
        return Ok(false);
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let version =
        version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    Ok(version >= Some((2_u32, 36_u32)))
}

/// Builds `app/` with a cargo of its own. Its target directory is not ours, whose lock the outer
/// cargo holds; it lies beside the profiles, so that they share one build of the API.
fn build(root: &Path, out: &Path, target: &str) -> Result<PathBuf, Box<dyn Error>> {
    // `out` is TARGET_DIR/[TRIPLE/]PROFILE/build/hwctl-HASH/out.
    let folder = out.ancestors().nth(4).ok_or("OUT_DIR has no target directory")?.join("api");
    // Cargo's folder for a profile bears its name, save that of `dev`.
    let (profile, subfolder) = match is_optimized()? {
        true => ("api", "api"),
        false => ("dev", "debug"),
    };
    let mut cargo = Command::new(env::var("CARGO")?);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let inherited = name.starts_with("CARGO_") && name != "CARGO_HOME"
            || name.starts_with("RUSTC_W")
            || name == "RUSTFLAGS";
        if inherited {
            cargo.env_remove(&name);
        }
    }
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    flags.extend(link_arguments(target)?.iter().map(|argument| format!("-Clink-arg={argument}")));
    let status = cargo
        .current_dir(root)
        .args(["build", "--profile", profile, "--locked"])
        .args(["--package", "flask-app", "--target", target])
        .arg("--target-dir")
        .arg(&folder)
        .env("CARGO_BUILD_BUILD_DIR", &folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .status()?;
    if !status.success() {
        return Err("the API in app/ does not build".into());
    }
    Ok(folder.join(target).join(subfolder).join("flask-app"))
}

/// Returns whether hwctl is built for users (a profile based on `release`) rather than to be tried
/// and tested.
fn is_optimized() -> Result<bool, env::VarError> {
    Ok(env::var("PROFILE")? == "release")
}

/// Writes the compressed binary and gives the source of the constant that holds it.
fn bundle(binary: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    let bytes = fs::read(binary)
        .map_err(|error| format!("cannot read the API binary `{}`: {error}", binary.display()))?;
    let mut key = String::new();
    for byte in Sha256::digest(&bytes) {
        write!(key, "{byte:02x}")?;
    }
    let preset = if is_optimized()? { 9 } else { 0 };
    let archive = fs::File::create(out.join("api.xz"))?;
    let mut options = XzOptions::with_preset(preset);
    // Jumps with absolute targets pack better than relative ones. The reader undoes it.
    match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => options.prepend_pre_filter(FilterType::BcjX86, 0),
        "aarch64" => options.prepend_pre_filter(FilterType::BcjArm64, 0),
        _ => {}
    }
    let mut encoder = XzWriter::new(archive, options)?;
    encoder.write_all(&bytes)?;
    encoder.finish()?;
    Ok(format!(
        "Some(crate::engine::Bundle {{ key: \"{key}\", size: {}, \
         xz: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/api.xz\")) }})",
        bytes.len()
    ))
}
