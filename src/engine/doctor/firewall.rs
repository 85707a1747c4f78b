//! A rule that is missing drops what clients send before anything can answer.

use super::Patient;
use crate::event::{Detail, Finding, Fix};

pub(super) fn look(patient: &Patient<'_>) -> Option<Finding> {
    let change = &patient.drift("firewall ufw")?.change;
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
            .fix(Fix::Provision { tags: vec!["firewall".to_owned()] }),
    )
}
