//! What is wrong with a host: the cause, its evidence, the next step.

use std::fmt::Write as _;

use super::Style;
use crate::event::Finding;

/// The findings; the first is the cause, the others may be its consequences.
pub(super) fn text(style: Style, findings: &[Finding]) -> String {
    if findings.is_empty() {
        return format!("{} no fault is found", style.paint("✓", "32"));
    }
    let mut text = String::new();
    for (at, Finding { what, evidence, next, .. }) in findings.iter().enumerate() {
        let label = if at == 0 { "cause:" } else { "\nalso:" };
        let _ = write!(text, "{} {what}", style.paint(label, "31;1"));
        for line in evidence {
            let _ = write!(text, "\n  {}", line.replace('\n', "\n  "));
        }
        let _ = write!(text, "\n  {} {next}", style.paint("next:", "36"));
    }
    text
}
