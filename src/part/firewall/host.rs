//! The firewall on the host: ufw, and its rules in the kernel.

use anyhow::{Result, bail};

use crate::engine::{Case, Driver, Later, Symptoms};
use crate::event::{Detail, Finding, Fix};
use crate::resource::{Host, is_firewall_loaded};

/// The driver of the firewall.
#[derive(Debug)]
pub(crate) struct Firewall;

impl Driver for Firewall {
    fn name(&self) -> &'static str {
        "firewall"
    }

    fn inspect<'a>(&'a self, _: &'a str, case: &'a Case<'a>) -> Later<'a, String> {
        Box::pin(open_ports(case.host))
    }

    fn diagnose<'a>(
        &'a self,
        case: &'a Case<'a>,
        symptoms: &'a Symptoms<'a>,
    ) -> Later<'a, Vec<Finding>> {
        let found = wrong_rules(case, symptoms);
        Box::pin(async { Ok(found.into_iter().collect()) })
    }
}

/// A rule that is missing drops what clients send before anything can answer.
fn wrong_rules(case: &Case<'_>, symptoms: &Symptoms<'_>) -> Option<Finding> {
    let mut drift = symptoms.drift.iter().map(|planned| &planned.change);
    let change = drift.find(|change| change.id.as_str() == "firewall ufw")?;
    let mut evidence = Vec::new();
    let mut missing = Vec::new();
    for detail in &change.details {
        let Detail::Attribute { name, before, after } = detail else { continue };
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        evidence.push(format!("ufw, {name}: {}, declared: {}", text(before), text(after)));
        if let (Some(rule), None) = (name.strip_prefix("rule "), before) {
            missing.push(rule.to_owned());
        }
    }
    let what = match missing.is_empty() {
        true => "the firewall is not as declared".to_owned(),
        false => format!("the firewall lacks the rule for {}", missing.join(", ")),
    };
    Some(
        Finding::new("firewall", what)
            .evidence(evidence)
            .next("`hwctl provision --only firewall` puts the rules back")
            .fix(Fix::Provision { tags: vec![case.part.name.clone()] }),
    )
}

/// Requires that ufw's rules are in the kernel. Returns the ports that they open.
async fn open_ports(host: &Host) -> Result<String> {
    let rules = host.run("iptables", &["-S"]).await?;
    let has = |rule: &str| rules.lines().any(|line| line == rule);
    if !has("-A INPUT -j ufw-before-input") || has("-P INPUT ACCEPT") {
        bail!("ufw is not active");
    }
    if !is_firewall_loaded(host).await? {
        bail!("active, but some of its rules are not in the kernel");
    }
    let open = rules.lines().filter_map(|line| {
        let rule = line.strip_prefix("-A ufw-user-input -p ")?.strip_suffix(" -j ACCEPT")?;
        let protocol = rule.split(' ').next()?;
        Some(format!("{}/{protocol}", rule.rsplit_once("--dport ")?.1))
    });
    Ok(format!("active, open: {}", open.collect::<Vec<_>>().join(" ")))
}
