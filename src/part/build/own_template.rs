//! The operator's own templates: what they may use, and how they are rendered.

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::template::Passwords;
use super::{Builder, environment};
use crate::inventory::InventoryHost;
use crate::inventory::schema::Env;
use crate::part::roles::Peer;
use crate::resource::{Content, Facts};

/// What a template of the operator's may use.
#[derive(Serialize)]
struct Names<'a> {
    /// The host's variables in the inventory.
    vars: Map<String, Json>,
    /// What the host is.
    facts: &'a Facts,
    /// All hosts of the inventory.
    peers: Vec<NamedPeer<'a>>,
    /// The host's name and address.
    host: Named<'a>,
}

#[derive(Serialize)]
struct NamedPeer<'a> {
    #[serde(flatten)]
    named: Named<'a>,
    roles: Vec<&'static str>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    address: &'a str,
}

fn named_peer(peer: &Peer) -> NamedPeer<'_> {
    let named = Named { name: &peer.name, address: &peer.address };
    NamedPeer { named, roles: peer.roles.iter().map(|role| role.name()).collect() }
}

impl Builder<'_> {
    /// A template of the operator's, as the content of a file. It may ask for `secrets` by their names.
    pub(crate) fn own_template(&mut self, name: &str, secrets: &Env) -> Result<Content> {
        let are_known = self.prepare_secrets(secrets)?;
        let given = environment::secrets(secrets, are_known)?;
        let address = self.context.address;
        let names = Names {
            vars: self.entry.map(InventoryHost::for_templates).unwrap_or_default(),
            facts: self.facts,
            peers: self.fleet.hosts.iter().map(named_peer).collect(),
            host: Named { name: self.entry.map_or(address, |entry| &entry.name), address },
        };
        let parts = self.templates.render_with(name, &names, (&Passwords::new(), &given))?;
        Ok(Content::Parts(parts))
    }
}
