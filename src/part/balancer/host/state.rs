//! What HAProxy has to know after a reload: which web hosts get no work.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::socket::ask;
use crate::part::balancer::{CONFIGURATION, RUNTIME_FOLDER};
use crate::resource::Host;

/// Writes what HAProxy knows of the web hosts where the next process reads it. systemd calls it right before a reload.
pub async fn keep_state(host: &Host) -> Result<()> {
    let path = host.path(&Path::new(RUNTIME_FOLDER).join("server-state"));
    // What was known at an earlier reload is worse than nothing.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove `{}`", path.display()));
        }
        _ => {}
    }
    let state = ask(host, "show servers state").await?;
    let configuration = host.path(Path::new(CONFIGURATION));
    let configuration = fs::read_to_string(&configuration)
        .with_context(|| format!("read `{}`", configuration.display()))?;
    let kept = still_declared(&state, &configuration)?;
    fs::write(&path, kept).with_context(|| format!("write `{}`", path.display()))
}

/// The state of the servers that the new configuration has at the same address and port. HAProxy would otherwise go on
/// with the old ones.
fn still_declared(state: &str, configuration: &str) -> Result<String> {
    let mut lines = state.lines().filter(|line| !line.is_empty());
    let (Some(version), Some(header)) = (lines.next(), lines.next()) else {
        bail!("HAProxy says nothing of its servers");
    };
    let columns: Vec<&str> = header.trim_start_matches("# ").split(' ').collect();
    let is_declared = |line: &&str| {
        let values: Vec<&str> = line.split(' ').collect();
        let value = |name: &str| {
            let at = columns.iter().position(|column| *column == name);
            at.and_then(|at| values.get(at)).copied().unwrap_or_default()
        };
        let [name, port] = [value("srv_name"), value("srv_port")];
        let host = match value("srv_fqdn") {
            "-" | "" => value("srv_addr"),
            name => name,
        };
        let forms =
            [format!("server {name} {host}:{port}"), format!("server {name} [{host}]:{port}")];
        configuration.lines().any(|line| forms.iter().any(|form| line.trim() == form))
    };
    let kept = lines.filter(is_declared);
    Ok([version, header]
        .into_iter()
        .chain(kept)
        .fold(String::new(), |text, line| text + line + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_at_another_address_or_port_begins_anew() {
        let state = "1\n# be_id be_name srv_id srv_name srv_addr srv_admin_state srv_fqdn srv_port\n\
                     4 web 1 web1 192.0.2.1 8 - 8443\n4 web 2 web2 192.0.2.2 0 - 8443\n\
                     4 web 3 web3 2001:db8::3 8 - 8443\n4 web 4 web4 192.0.2.4 8 web4.example.org 8443\n\
                     4 web 5 web5 192.0.2.5 8 - 8443\n\n";
        let configuration = "backend web\n    server web1 192.0.2.1:8443\n    server web2 192.0.2.2:9000\n    \
                             server web3 [2001:db8::3]:8443\n    server web4 web4.example.org:8443\n    \
                             server web5 192.0.2.55:8443\n";

        let kept = still_declared(state, configuration).unwrap();

        let names: Vec<_> =
            kept.lines().skip(2).map(|line| line.split(' ').nth(3).unwrap()).collect();
        assert_eq!(names, ["web1", "web3", "web4"]);
        assert!(kept.starts_with("1\n# be_id"), "{kept}");
        assert!(still_declared("", configuration).is_err());
    }
}
