//! A fault as a look has found it.

use crate::event::{Check, Finding};

/// Something that is wrong with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What tells it from the other faults of the host. It is the same at each look.
    pub id: String,
    /// What is wrong, in one line.
    pub summary: String,
    /// How that is known.
    pub details: Vec<String>,
    /// The next step.
    pub next: String,
    /// Whether it says what is seen and not why: it may follow from another fault.
    pub is_symptom: bool,
    /// When it began, in seconds since 1970. None where that is not known better than by the look that found it.
    pub began: Option<i64>,
}

impl Fault {
    /// A finding about a part or a unit, or about the host as a whole.
    #[must_use]
    pub fn of_finding(about: Option<&str>, finding: &Finding) -> Self {
        let cause = &finding.cause;
        Self {
            id: about.map_or_else(|| cause.clone(), |about| format!("{about}/{cause}")),
            summary: finding.what.clone(),
            details: finding.evidence.clone(),
            next: finding.next.clone(),
            is_symptom: false,
            began: None,
        }
    }

    /// A check that fails. None for one that passes.
    #[must_use]
    pub fn of_check(check: &Check) -> Option<Self> {
        let Check { name, ok, detail } = check;
        (!ok).then(|| Self {
            id: format!("check/{name}"),
            summary: format!("the check `{name}` fails: {}", detail.replace('\n', " ")),
            details: Vec::new(),
            next: "`hwctl doctor` looks for the cause, `hwctl status` shows all checks".to_owned(),
            is_symptom: true,
            began: None,
        })
    }

    /// The same with `<secret>` in the place of each of these.
    #[must_use]
    pub fn without(mut self, secrets: &[String]) -> Self {
        let texts = [&mut self.id, &mut self.summary, &mut self.next];
        for text in texts.into_iter().chain(&mut self.details) {
            for secret in secrets {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), "<secret>");
                }
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_fails_is_a_symptom_and_a_finding_is_a_cause() {
        let check = |ok| Check { name: "disk".to_owned(), ok, detail: "99 % used".to_owned() };
        assert_eq!(Fault::of_check(&check(true)), None);
        let fault = Fault::of_check(&check(false)).unwrap();
        assert_eq!((fault.id.as_str(), fault.is_symptom), ("check/disk", true));
        assert_eq!(fault.summary, "the check `disk` fails: 99 % used");

        let finding = Finding::new("app-stopped", "`shop` does not run").next("start it");
        let of_part = Fault::of_finding(Some("shop"), &finding);
        assert_eq!((of_part.id.as_str(), of_part.is_symptom), ("shop/app-stopped", false));
        assert_eq!(Fault::of_finding(None, &finding).id, "app-stopped");
    }

    #[test]
    fn a_secret_in_a_log_is_hidden() {
        let line = "connect postgres://shop:planted-one@db: refused".to_owned();
        let finding = Finding::new("app-failing", "`shop` ends").evidence([line]);

        let fault = Fault::of_finding(Some("shop"), &finding);
        let fault = fault.without(&["planted-one".to_owned(), "other".to_owned()]);

        assert_eq!(fault.details, ["connect postgres://shop:<secret>@db: refused"]);
    }
}
