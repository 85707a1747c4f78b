//! The runs of a host as a table, or one run with its changes.

use std::fmt::Write as _;

use crate::event::{Run, RunOutcome};

/// The runs, a line of at most `room` columns each; columns are as wide as they have to be.
pub(super) fn table(runs: &[Run], room: usize) -> String {
    let head = ["RUN (UTC)", "OUTCOME", "CHANGES", "HWCTL", "BY"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(runs.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 5] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths);
        let padded: Vec<_> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        shortened(format!("  {}", padded.join("  ")).trim_end(), room)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn cells(run: &Run) -> [String; 5] {
    let from = run.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
    [
        run.id.clone(),
        word(run.outcome).to_owned(),
        run.changes.len().to_string(),
        format!("{} {}", run.version, run.verb),
        format!("{}{from}", run.operator),
    ]
}

/// One run with its changes.
pub(super) fn detail(run: &Run) -> String {
    let Run { id, verb, version, operator, .. } = run;
    let from = run.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
    let ended = run.ended.as_ref().map(|ended| format!(", ended {ended}")).unwrap_or_default();
    let mut text = format!(
        "run {id}: {}\n  `{verb}` of hwctl {version} by {operator}{from}\n  began {}{ended}",
        word(run.outcome),
        run.began
    );
    if let Some(why) = &run.why {
        let _ = write!(text, "\n  because: {why}");
    }
    for change in &run.changes {
        let verb = format!("{:?}", change.action).to_lowercase();
        let _ = write!(text, "\n  {verb:<8} {}", change.id);
    }
    text
}

fn word(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Running => "running",
        RunOutcome::Kept => "kept",
        RunOutcome::Undone => "undone",
        RunOutcome::Failed => "failed",
        RunOutcome::Interrupted => "interrupted",
    }
}

fn shortened(line: &str, room: usize) -> String {
    if line.chars().count() <= room {
        return line.to_owned();
    }
    line.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Changed, Id};

    fn run(id: &str, outcome: RunOutcome, operator: &str) -> Run {
        Run {
            id: id.to_owned(),
            operator: operator.to_owned(),
            from: Some("203.0.113.9".to_owned()),
            verb: "provision".to_owned(),
            version: "0.1.0".to_owned(),
            began: "2026-11-24T03:14:32Z".to_owned(),
            ended: Some("2026-11-24T03:14:47Z".to_owned()),
            outcome,
            why: (outcome == RunOutcome::Undone).then(|| "cannot apply `unit x`".to_owned()),
            changes: vec![Changed { id: Id::new("file", "/etc/motd"), action: Action::Update }],
        }
    }

    #[test]
    fn runs_fit_a_narrow_terminal() {
        let long = "somebody-with-a-long-name@a-machine-with-a-long-name";
        let runs = [
            run("20261124-031432", RunOutcome::Interrupted, long),
            run("20261124-031432-2", RunOutcome::Kept, "me@here"),
        ];
        insta::assert_snapshot!(table(&runs, 80), @"
        RUN (UTC)          OUTCOME      CHANGES  HWCTL            BY
        20261124-031432    interrupted  1        0.1.0 provision  somebody-with-a-lon…
        20261124-031432-2  kept         1        0.1.0 provision  me@here from 203.0.…
        ");
        assert!(table(&runs, 80).lines().all(|line| line.chars().count() <= 80));
        // Who reads it from a pipe gets all of it.
        assert!(table(&runs, usize::MAX).contains(&format!("{long} from 203.0.113.9")));
    }

    #[test]
    fn one_run_has_its_changes() {
        insta::assert_snapshot!(detail(&run("20261124-031432", RunOutcome::Undone, "me@here")), @"
        run 20261124-031432: undone
          `provision` of hwctl 0.1.0 by me@here from 203.0.113.9
          began 2026-11-24T03:14:32Z, ended 2026-11-24T03:14:47Z
          because: cannot apply `unit x`
          update   file /etc/motd
        ");
    }
}
