//! Takes the few files of Swagger UI that the page needs out of the vendored archive, packed.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::{Cursor, Read, Write},
    path::Path,
};

use flate2::{Compression, Crc, write::GzEncoder};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// The archive holds three more builds of the same program, which no page here loads.
const FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];
/// Our own around it.
const ASSETS: &str = "assets";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ASSETS}");
    let mut tag = Crc::new();
    let mut assets = fs::read_dir(ASSETS)?.collect::<Result<Vec<_>, _>>()?;
    assets.sort_by_key(fs::DirEntry::path);
    for asset in assets {
        tag.update(&fs::read(asset.path())?);
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
        tag.update(&content);
        let packed = File::create(Path::new(&out).join(format!("{wanted}.gz")))?;
        let mut packed = GzEncoder::new(packed, Compression::best());
        packed.write_all(&content)?;
        packed.finish()?;
    }
    println!("cargo::rustc-env=SWAGGER_TAG={:08x}", tag.sum());
    Ok(())
}
