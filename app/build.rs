//! Takes the few files of Swagger UI that the page needs out of the vendored archive.

use std::{
    env,
    error::Error,
    fs,
    hash::{DefaultHasher, Hasher as _},
    io::{Cursor, Read as _},
    path::Path,
};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// The archive holds three more builds of the same program, which no page here loads.
const FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];
/// Our own around it.
const ASSETS: &str = "assets";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ASSETS}");
    let mut tag = DefaultHasher::new();
    let mut assets = fs::read_dir(ASSETS)?.collect::<Result<Vec<_>, _>>()?;
    assets.sort_by_key(fs::DirEntry::path);
    for asset in assets {
        tag.write(&fs::read(asset.path())?);
    }
    let out = env::var("OUT_DIR")?;
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for wanted in FILES {
        let mut content = Vec::new();
        for at in 0..archive.len() {
            let mut file = archive.by_index(at)?;
            let path = file.enclosed_name().unwrap_or_default();
            if path.ends_with(Path::new("dist").join(wanted)) {
                file.read_to_end(&mut content)?;
            }
        }
        if content.is_empty() {
            return Err(format!("the archive of Swagger UI lacks `dist/{wanted}`").into());
        }
        tag.write(&content);
        fs::write(Path::new(&out).join(wanted), content)?;
    }
    println!("cargo::rustc-env=SWAGGER_TAG={:016x}", tag.finish());
    Ok(())
}
