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

/// Refuses a name that the host itself has, or that two entries of one variable have. Each entry comes with its name and
/// its host.
pub(super) fn require_apart<'a>(
    variable: &str,
    hosts: impl Iterator<Item = (&'a str, &'a str)>,
    vars: &Vars,
    reader: &mut Reader<'_>,
) {
    let own = vars.find::<ServerNames>().map(|ServerNames(names)| names.as_slice());
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, host) in hosts {
        let path = format!("{variable}.{name}.host");
        if own.is_some_and(|names| names.iter().any(|name| name.eq_ignore_ascii_case(host))) {
            let message = format!("`{path}` is `{host}`, which is one of `server_names`");
            reader.refuse_path([&path, "server_names"], message, "take it out of one of the two");
        }
        if let Some(other) = taken.insert(host, name) {
            let other = format!("{variable}.{other}.host");
            let message = format!("`{path}` is `{host}`, as `{other}` is");
            reader.refuse_path([&path, &other], message, "");
        }
    }
}
