//! What hwctl makes of inventories, good and bad: values, places, messages.

use std::path::Path;

use hwctl::failure::Failure;
use hwctl::inventory::{Inventory, InventoryHost, Sources, Vars, Warning, load};
use hwctl::part::{Fleet, HostView, Kinds};
use hwctl::resource::Facts;
use hwctl::spec::Scope;

/// Compares with a snapshot that holds the messages alone.
macro_rules! shows {
    ($text:expr) => {
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!($text) })
    };
}

pub(crate) mod ansible;
pub(crate) mod corpus;
pub(crate) mod evaluation;
pub(crate) mod hostile;
pub(crate) mod hosts;
pub(crate) mod messages;
pub(crate) mod passwords;
pub(crate) mod schema;
pub(crate) mod values;

/// Reads a text as `inventory.yaml` of an empty folder and gives the vars of its first host.
fn vars_with(text: &[u8], sets: &[&str]) -> Result<(Vars, Vec<Warning>), Failure> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    std::fs::write(&path, text).unwrap();
    let result = read(&path, sets);
    let folder = format!("{}/", folder.path().display());
    let without =
        |warning: Warning| Warning { place: warning.place.replace(&folder, ""), ..warning };
    result
        .map(|(vars, warnings)| (vars, warnings.into_iter().map(without).collect()))
        .map_err(|failure| self::without(&failure, &folder))
}

fn read(path: &Path, sets: &[&str]) -> Result<(Vars, Vec<Warning>), Failure> {
    let inventory = open(path, sets)?;
    let hosts = inventory.select(&[], None)?;
    vars_of(&inventory, &hosts[0])
}

/// The variables of a host, once all that its parts refer to is found.
pub(crate) fn vars_of(
    inventory: &Inventory,
    host: &InventoryHost,
) -> Result<(Vars, Vec<Warning>), Failure> {
    let kinds = Kinds::builtin();
    let (vars, mut warnings) = kinds.vars(inventory, host)?;
    let (facts, fleet) = (Facts::unknown(), Fleet::default());
    let view = HostView {
        vars: &vars,
        facts: &facts,
        fleet: &fleet,
        entry: Some(host),
        folder: Path::new("/nonexistent"),
    };
    warnings.extend(kinds.look_up(&view, &Scope::All, inventory.folder())?);
    Ok((vars, warnings))
}

fn open(path: &Path, sets: &[&str]) -> Result<Inventory, Failure> {
    let sets = sets.iter().map(|set| (*set).to_owned()).collect();
    load(&Sources::at(path, sets))
}

/// Takes the folder's path, which differs each time, out of a failure.
fn without(failure: &Failure, folder: &str) -> Failure {
    let text = serde_json::to_string(failure).unwrap().replace(folder, "");
    serde_json::from_str(&text).unwrap()
}

/// A failure as it is told.
fn told(failure: &Failure) -> String {
    let mut lines = vec![failure.what.clone()];
    lines.extend(failure.why.iter().cloned());
    lines.extend(failure.hint.iter().map(|hint| format!("hint: {hint}")));
    lines.join("\n")
}
