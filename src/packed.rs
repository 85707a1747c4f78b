//! Texts that the build script has packed: the templates, and the pages of `docs/`.

use std::collections::BTreeMap;
use std::io::Read as _;

use lzma_rust2::XzReader;

/// hwctl's own templates.
pub const TEMPLATES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/templates.xz"));
/// The pages for users.
pub const PAGES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pages.xz"));
/// Begins the line with the name of a text.
const MARK: char = '\u{1}';

/// The texts of an archive by their names.
#[must_use]
pub fn unpack(archive: &[u8]) -> BTreeMap<String, String> {
    let mut text = String::new();
    // What this build has packed can be read.
    let _ = XzReader::new(archive, false).read_to_string(&mut text);
    let named = text.split(MARK).filter_map(|part| part.split_once('\n'));
    named.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}
