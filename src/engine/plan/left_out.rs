//! What a run of some parts leaves as it is, held against what the run removes.

use std::collections::HashMap;

use super::Plan;
use crate::engine::protocol::Goal;
use crate::event::Planned;
use crate::failure::{Exit, Failure};
use crate::resource::{Action, Declared, Id};
use crate::spec::Scope;

/// Refuses a plan that removes what a unit or container of a part outside the scope was started with. The
/// service would not come up again after its next start or reload.
pub(in crate::engine) fn require_inputs(
    left_out: &[Declared],
    plan: &Plan,
    goal: &Goal,
) -> Result<(), Failure> {
    let Goal::Declared { parts, scope, .. } = goal else { return Ok(()) };
    let is_removed = |planned: &&Planned| planned.change.action == Action::Remove;
    let removed: HashMap<&Id, &str> = plan
        .changes
        .iter()
        .filter(is_removed)
        .map(|planned| (&planned.change.id, planned.tag.as_str()))
        .collect();
    let broken = left_out.iter().find_map(|left| {
        let inputs = left.resource.inputs().iter();
        let lost: Vec<_> = inputs.filter_map(|id| Some((id, *removed.get(id)?))).collect();
        (!lost.is_empty()).then_some((left, lost))
    });
    let Some((left, lost)) = broken else { return Ok(()) };
    let part = &left.tag;
    let what = format!("`{}` would stay without what it is started with", left.resource.id());
    let failure = lost.into_iter().fold(Failure::new(Exit::Failed, what), |failure, (id, tag)| {
        failure.why(format!(
            "this run removes `{id}` of the part `{tag}`, and leaves the part `{part}` as it is"
        ))
    });
    let with_part = match scope {
        Scope::Only(_) => format!("name `{part}` in `--only` too"),
        Scope::All | Scope::Except(_) => format!("run without `--skip {part}`"),
    };
    let is_leaving = !parts.iter().any(|spec| spec.name == *part);
    let hint = match is_leaving {
        true => format!(
            "{with_part}, and the part is removed with the others; to keep it, give the host the role \
             that brings it (`roles` in the inventory)"
        ),
        false => with_part,
    };
    Err(failure.not_done("nothing was changed on the host").hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Change, File, OnChange, Resource, Unit};
    use crate::spec::PartSpec;

    fn file(path: &str) -> Resource {
        File::text(path, "x").into()
    }

    fn unit(inputs: &[&Resource]) -> Declared {
        let inputs = inputs.iter().map(|input| input.id()).collect();
        Declared::new("shop", Unit::new("shop.service", inputs, OnChange::Restart))
    }

    fn plan(changes: &[(&Resource, Action)]) -> Plan {
        let mut plan = Plan::empty();
        plan.changes = changes
            .iter()
            .map(|(resource, action)| Planned {
                tag: "web".to_owned(),
                change: Change::new(resource.id(), *action),
            })
            .collect();
        plan
    }

    fn goal(parts: &[&str], scope: Scope) -> Goal {
        let spec = |name: &&str| PartSpec { name: (*name).to_owned(), ..PartSpec::default() };
        let parts = parts.iter().map(spec).collect();
        Goal::Declared { resources: Vec::new(), parts, scope, hash_key: None }
    }

    #[test]
    fn a_service_that_stays_needs_what_it_was_started_with() {
        let (key, page) = (file("/etc/key"), file("/srv/page"));
        let left = [unit(&[&key])];
        let except = || Scope::Except(vec!["shop".to_owned()]);
        let refused = |changes: &[(&Resource, Action)], goal: &Goal| {
            require_inputs(&left, &plan(changes), goal).err()
        };

        let removed = [(&page, Action::Remove), (&key, Action::Remove)];
        let failure = refused(&removed, &goal(&["web"], except())).expect("a refusal");
        assert_eq!(failure.what, "`unit shop.service` would stay without what it is started with");
        assert_eq!(
            failure.why,
            [
                "this run removes `file /etc/key` of the part `web`, and leaves the part `shop` as it is"
            ]
        );
        let hint = failure.hint.unwrap();
        assert!(hint.contains("without `--skip shop`") && hint.contains("`roles`"), "{hint}");

        let only = Scope::Only(vec!["web".to_owned()]);
        let hint = refused(&removed, &goal(&["web", "shop"], only)).unwrap().hint.unwrap();
        assert_eq!(hint, "name `shop` in `--only` too");

        for allowed in [&[(&page, Action::Remove)][..], &[(&key, Action::Update)], &[]] {
            assert_eq!(refused(allowed, &goal(&["web"], except())), None, "{allowed:?}");
        }
    }
}
