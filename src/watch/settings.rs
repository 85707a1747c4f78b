//! What a watch goes by: how often it looks, and who is told how. The file on the host is for root alone, because
//! the channels have secrets.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::resource::{Advise as _, Secret};

/// What a watch goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// What messages call the host.
    pub host: String,
    /// How often the host is looked at, in seconds.
    pub every_s: u32,
    /// After how many seconds somebody is reminded of a fault.
    pub remind_s: u32,
    /// For how many days a security update may wait. 0 where that is no fault.
    pub security_updates: u16,
    /// With fewer hours left until a disk is full, that is a fault. 0 where it is none.
    pub disk_hours: u16,
    /// Who is told.
    pub channels: Vec<Channel>,
    /// The URL that is asked for after each look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Secret>,
}

/// One way to tell somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its place in the inventory, such as `notify[0]`.
    pub id: String,
    /// The way.
    pub way: Way,
}

/// How a message goes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// A POST of JSON to this URL.
    Webhook(Secret),
    /// A POST to this topic of ntfy.
    Ntfy(Secret),
    /// A mail.
    Email(Email),
}

/// Where a mail goes and by which server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// The addresses that get it.
    pub to: Vec<String>,
    /// The address that it comes from.
    pub from: String,
    /// `smtp://HOST:PORT`, or `smtps://HOST:PORT` where the connection begins with TLS.
    pub url: String,
    /// Whether the server has to take up TLS before anything is said.
    pub requires_tls: bool,
    /// The login at the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<(String, Secret)>,
}

impl Settings {
    /// Settings by which nobody is told.
    #[must_use]
    pub fn silent(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            every_s: 60,
            remind_s: 86_400,
            security_updates: 0,
            disk_hours: 0,
            channels: Vec::new(),
            heartbeat: None,
        }
    }

    /// Reads the settings of a host.
    pub fn read(path: &Path) -> Result<Self> {
        let again = "`hwctl provision` writes it, where the inventory has `notify` or `heartbeat`";
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => anyhow!("this host is not watched"),
            _ => anyhow::Error::from(error).context(format!("read `{}`", path.display())),
        });
        let bytes = bytes.hint(again)?;
        let read = serde_json::from_slice(&bytes);
        // The message of the parser may quote a value.
        let read = read.map_err(|error| {
            anyhow!("line {}, column {} is damaged", error.line(), error.column())
        });
        read.with_context(|| format!("`{}` is damaged", path.display())).hint(again)
    }

    /// The secrets in it, which no message may hold.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let of_channels = self.channels.iter().filter_map(|channel| match &channel.way {
            Way::Webhook(url) | Way::Ntfy(url) => Some(url),
            Way::Email(email) => email.login.as_ref().map(|(_, password)| password),
        });
        of_channels.chain(&self.heartbeat)
    }
}

impl Channel {
    /// What people call it, such as `notify[0] (webhook)`.
    #[must_use]
    pub fn label(&self) -> String {
        let way = match &self.way {
            Way::Webhook(_) => "webhook",
            Way::Ntfy(_) => "ntfy",
            Way::Email(_) => "email",
        };
        format!("{} ({way})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_settings_are_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        let error = |path: &Path| format!("{:#}", Settings::read(path).unwrap_err());
        assert!(error(&path).contains("this host is not watched"), "{}", error(&path));

        std::fs::write(&path, r#"{"host":"planted","every_s":"planted"}"#).unwrap();

        let told = error(&path);
        assert!(told.contains("is damaged") && !told.contains("planted"), "{told}");
    }
}
