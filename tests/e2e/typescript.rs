//! Grafana's own types, from npm, and whether dashboards fit them. They are installed once below `target/`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use hwctl_setup::Tool;
use serde_json::Value;

use crate::harness::say;

const NPM: Tool =
    Tool::new("npm", "npm", "installs Grafana's types, which dashboards are compared with");
/// The version of Grafana that hwctl runs.
const TYPES: &str = "@grafana/schema@12.4.2";
const COMPILER: &str = "typescript@5.9.3";

/// What the declarations begin with. The types name values of enumerations, and JSON has their texts.
const HEAD: &str = r#"import type { Dashboard } from "@grafana/schema";
import type { Options as Stat } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { Options as BarGauge } from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type { Options as TimeSeries, FieldConfig } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
type Plain<T> =
  T extends string ? `${T}` :
  T extends number ? (number extends T ? number : `${T}` extends `${infer N extends number}` ? N : never) :
  T extends (infer Item)[] ? Plain<Item>[] :
  T extends object ? { [Key in keyof T]: Plain<T[Key]> } :
  T;
type Options = { stat: Stat; bargauge: BarGauge; timeseries: TimeSeries };
"#;

/// Compiles all dashboards of a folder as values of Grafana's types. A key that they do not have is an error, too.
pub(crate) fn dashboards_are_of_grafanas_types(folder: &Path) {
    let project = installed();
    let mut source = HEAD.to_owned();
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap().flatten() {
        let dashboard: Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
        let mut declare = |kind: &str, value: &Value| {
            count += 1;
            let _ = writeln!(source, "export const value{count}: {kind} = {value};");
        };
        declare("Plain<Dashboard>", &dashboard);
        for panel in dashboard["panels"].as_array().expect("panels") {
            let kind = panel["type"].as_str().expect("a type");
            declare(&format!("Plain<Partial<Options[\"{kind}\"]>>"), &panel["options"]);
            let custom = &panel["fieldConfig"]["defaults"]["custom"];
            if !custom.is_null() {
                declare("Plain<FieldConfig>", custom);
            }
        }
    }
    assert!(count > 40, "only {count} values");
    assert_eq!(errors(&project, &source), "");
    // The compiler does look: a unit is a text.
    let wrong =
        HEAD.to_owned() + "export const value: Plain<Dashboard> = { \"schemaVersion\": \"41\" };\n";
    assert!(errors(&project, &wrong).contains("TS2322"));
}

/// What the compiler has against a source.
fn errors(project: &Path, source: &str) -> String {
    fs::write(project.join("dashboards.ts"), source).unwrap();
    let compiler = project.join("node_modules/.bin/tsc");
    let arguments = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--moduleResolution",
        "nodenext",
        "dashboards.ts",
    ];
    let output = Command::new(compiler).current_dir(project).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn installed() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let project = folder.join("grafana-types");
    fs::create_dir_all(&project).unwrap();
    let lock = File::create(folder.join("grafana-types.lock")).unwrap();
    lock.lock().unwrap();
    if !project.join("node_modules/.bin/tsc").exists() {
        hwctl_setup::ensure(&[NPM], &say).unwrap_or_else(|error| panic!("{error}"));
        say(&format!("installing `{TYPES}` from npm"));
        fs::write(project.join("package.json"), "{ \"private\": true, \"type\": \"module\" }")
            .unwrap();
        let arguments = ["install", "--no-audit", "--no-fund", "--ignore-scripts", TYPES, COMPILER];
        let output = Command::new("npm").current_dir(&project).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    project
}
