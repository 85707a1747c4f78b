//! What a host is, in lines of at most 80 columns.

use std::fmt::Write as _;

use crate::event::Facts;

pub(super) fn text(facts: &Facts) -> String {
    let mut text = facts.hostname.clone();
    let mut line = |label: &str, value: &str| {
        let _ = write!(text, "\n  {label:<9} {value}");
    };
    line("system", &format!("{} ({}), {}", facts.os_name, facts.os, facts.arch));
    let memory = facts.memory_kib / 1024;
    line("resources", &format!("{} CPUs, {memory} MiB of memory", facts.cpus));
    line("container", if facts.container { "yes" } else { "no" });
    line("IPv6", if facts.ipv6 { "yes" } else { "no" });
    let ports: Vec<_> = facts.ssh_ports.iter().map(u16::to_string).collect();
    line("ssh ports", &ports.join(", "));
    line("network", &facts.interfaces.join(", "));
    if let Some(client) = facts.ssh_client {
        line("you are", &client.to_string());
    }
    for (name, version) in &facts.packages {
        if let Some(version) = version {
            line(name, &format!("{}.{}.{}", version.0, version.1, version.2));
        }
    }
    text
}
