//! The units of all parts as systemd reports them, read at once.

use std::collections::HashMap;

use anyhow::Result;

use crate::resource::Host;
use crate::spec::{PartSpec, ProbeKind};

const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,Result,ExecMainStatus,NRestarts,\
                          SocketUser,SocketGroup,SocketMode,Listen";

/// The properties of units, by the unit's name.
pub struct Units(HashMap<String, HashMap<String, String>>);

impl Units {
    /// Reads those that the probes of the parts name.
    pub(in crate::engine) async fn read(host: &Host, parts: &[PartSpec]) -> Result<Self> {
        let probes = parts.iter().flat_map(|part| &part.probes);
        let units: Vec<_> = probes
            .filter(|probe| probe.kind == ProbeKind::Unit)
            .map(|probe| probe.name.as_str())
            .collect();
        if units.is_empty() {
            return Ok(Self(HashMap::new()));
        }
        let args = [&["show", PROPERTIES], &units[..]].concat();
        let told = host.run("systemctl", &args).await?;
        let blocks = told.split("\n\n").map(|block| {
            let lines = block.lines().filter_map(|line| line.split_once('='));
            lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        });
        Ok(Self(units.iter().map(|name| (*name).to_owned()).zip(blocks).collect()))
    }

    /// A property of a unit; empty where systemd knows none.
    #[must_use]
    pub fn get(&self, unit: &str, property: &str) -> &str {
        self.0.get(unit).and_then(|all| all.get(property)).map_or("", String::as_str)
    }

    /// Whether it runs, or is on its way to.
    #[must_use]
    pub fn is_active(&self, unit: &str) -> bool {
        let state = self.get(unit, "ActiveState");
        matches!(state, "active" | "reloading" | "activating") && !self.is_failing(unit)
    }

    /// Whether it ended too soon and is started again and again.
    #[must_use]
    pub fn is_failing(&self, unit: &str) -> bool {
        let get = |property| self.get(unit, property);
        let is_again = get("SubState").starts_with("auto-restart");
        get("ActiveState") == "activating" && (is_again || !matches!(get("NRestarts"), "" | "0"))
    }

    /// Its state in one line.
    #[must_use]
    pub fn state(&self, unit: &str) -> String {
        let get = |property| self.get(unit, property);
        let result = match (get("Result"), get("ExecMainStatus")) {
            ("" | "success", _) => String::new(),
            (result, "" | "0") => format!(", {result}"),
            (result, status) => format!(", {result}, exit status {status}"),
        };
        format!("{unit} is {} ({}){result}", get("ActiveState"), get("SubState"))
    }
}
