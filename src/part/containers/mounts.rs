//! The volumes of a container, and the folders of the host that it sees.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::scalars::{DOCKER_NAME, INSIDE};
use crate::inventory::check;
use crate::inventory::schema::{Field, Fields, Flag, Key, Map, Optional, Reader, Rule, Shape};
use crate::part::own_folder::OwnFolder;
use crate::resource::{Mount, MountSource};
use crate::vars;

/// `NAME:/path`, or a map with a volume or a folder of the host.
#[derive(Clone, Copy, Debug)]
pub(in crate::part) struct Volumes;

vars! {
    /// A mount as a map.
    struct MountVars {
        /// volume of Docker by name
        volume: Option<String> = "null", Optional(DOCKER_NAME);
        /// folder of the host, which hwctl makes
        path: Option<PathBuf> = "null", Optional(OwnFolder);
        /// where it is inside
        target: PathBuf = "null", INSIDE;
        /// whether it cannot be written from inside
        read_only: bool = "false", Flag;
    }
}

const MAP: Map<MountVars> = Map::checked(has_one_source);

fn has_one_source(mount: &MountVars, reader: &mut Reader<'_>, fields: &Fields<'_>) -> bool {
    if mount.volume.is_some() != mount.path.is_some() {
        return true;
    }
    let message = format!("`{}` takes one of `volume` and `path`", fields.path());
    reader.refuse_map(fields, message, "name a volume, or a folder of the host");
    false
}

impl Shape for Volumes {
    fn expected(&self) -> String {
        "a volume such as `data:/var/lib/data`, or a map such as `{ path: /srv/data, target: /data }`"
            .to_owned()
    }

    fn json(&self) -> Json {
        json!({ "anyOf": [{ "type": "string", "pattern": "^[^/:]+:/[^:]+(:ro)?$" }, MAP.json()] })
    }

    fn keys(&self) -> &'static [Key] {
        Map::<MountVars>::new().keys()
    }

    fn takes_scalar(&self) -> bool {
        true
    }
}

impl Rule for Volumes {
    type Value = Mount;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Mount> {
        if !field.is_map() {
            return reader.text(field, &self.expected(), parse);
        }
        let MountVars { volume, path, target, read_only } = MAP.read(reader, field)?;
        let source = match (volume, path) {
            (Some(volume), _) => MountSource::Volume(volume),
            (None, path) => MountSource::Path(path?),
        };
        Some(Mount { source, target, read_only })
    }
}

/// `NAME:/path` or `NAME:/path:ro`.
fn parse(text: &str) -> Option<Mount> {
    let (name, rest) = text.split_once(':')?;
    let (target, read_only) = match rest.strip_suffix(":ro") {
        Some(target) => (target, true),
        None => (rest, false),
    };
    let source = MountSource::Volume(check::docker_name(name)?);
    Some(Mount { source, target: check::host_path(target)?, read_only })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_a_name_and_a_path_inside() {
        let mount = |name: &str, target: &str, read_only| {
            let source = MountSource::Volume(name.to_owned());
            Some(Mount { source, target: target.into(), read_only })
        };
        assert_eq!(parse("pg-data:/var/lib/pg"), mount("pg-data", "/var/lib/pg", false));
        assert_eq!(parse("pg-data:/var/lib/pg:ro"), mount("pg-data", "/var/lib/pg", true));
        for text in [
            "",
            "data",
            "data:",
            "data:var",
            "/srv/x:/x",
            ":/x",
            "data:/",
            "data:/a/../b",
            "data:/a:rw",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
