//! Names that a site or an app has for itself, such as `shop.example.com`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::inventory::schema::{Reader, Text, Vars};
use crate::inventory::{check, patterns};
use crate::part::ServerNames;

/// A host name in lower case. An address is none: all sites share the host's own.
pub(super) const HOST: Text<String> = Text {
    expected: "a host name such as `shop.example.com`",
    pattern: patterns::ANY,
    check: |text| {
        let is_name = |name: &String| name.parse::<IpAddr>().is_err();
        check::server_name(text).filter(is_name).map(|name| name.to_ascii_lowercase())
    },
};

/// Refuses a name that the host itself has, or that two settings have. Each name comes after the path of its setting.
pub(super) fn require_apart(
    hosts: impl Iterator<Item = (String, String)>,
    vars: &Vars,
    reader: &mut Reader<'_>,
) {
    let own = vars.find::<ServerNames>().map(|ServerNames(names)| names.as_slice());
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for (path, host) in hosts {
        if own.is_some_and(|names| names.iter().any(|name| name.eq_ignore_ascii_case(&host))) {
            let message = format!("`{path}` takes `{host}`, which is one of `server_names`");
            reader.refuse_path([&path, "server_names"], message, "take it out of one of the two");
        }
        if let Some(other) = taken.insert(host.clone(), path.clone()) {
            let place = reader.place(&other).map(|place| format!(" ({place})"));
            let place = place.unwrap_or_default();
            let message = format!("`{path}` takes `{host}`, as `{other}`{place} does");
            reader.refuse_path([&path, &other], message, "");
        }
    }
}
