//! A dashboard as the JSON that Grafana reads.

use serde_json::{Value as Json, json};

use super::{Dashboard, Kind, Panel, Query, Unit, all};

/// The version of the format. Grafana brings older ones up to its own.
const SCHEMA_VERSION: u32 = 41;
/// The columns of Grafana's grid.
const COLUMNS: u32 = 24;
/// What the data source is called in provisioning.
const SOURCE: &str = "prometheus";

impl Dashboard {
    /// The dashboard as its file has it.
    pub(in crate::part::monitoring) fn json(&self) -> Json {
        json!({
            "uid": uid(self.name),
            "title": self.title,
            "tags": ["hwctl"],
            "timezone": "browser",
            "editable": false,
            "graphTooltip": 1,
            "schemaVersion": SCHEMA_VERSION,
            "refresh": "30s",
            "time": { "from": "now-3h", "to": "now" },
            "templating": { "list": [instance()] },
            "links": self.links(),
            "panels": self.panels(),
        })
    }

    /// To all dashboards, with the instances that are chosen.
    fn links(&self) -> Vec<Json> {
        let others = all().into_iter().filter(|other| other.name != self.name);
        others.map(|other| link(other.title, &url(other.name))).collect()
    }

    /// The panels, in lines that are as wide as the grid.
    fn panels(&self) -> Vec<Json> {
        let (mut x, mut y, mut line) = (0, 0, 0);
        let mut panels = Vec::new();
        for (at, panel) in self.panels.iter().enumerate() {
            if x + panel.width > COLUMNS {
                (x, y, line) = (0, y + line, 0);
            }
            let height = panel.height();
            let place = json!({ "x": x, "y": y, "w": panel.width, "h": height });
            panels.push(panel.json(at + 1, &place));
            (x, line) = (x + panel.width, line.max(height));
        }
        panels
    }
}

impl Panel {
    fn height(&self) -> u32 {
        match self.kind {
            Kind::Number => 4,
            Kind::Lines | Kind::Bars => 8,
        }
    }

    fn json(&self, id: usize, place: &Json) -> Json {
        let links = self.more.map(|name| link("Details", &url(name)));
        json!({
            "id": id,
            "type": self.kind.name(),
            "title": self.title,
            "gridPos": place,
            "datasource": source(),
            "targets": self.queries.iter().enumerate().map(target).collect::<Vec<_>>(),
            "links": links.into_iter().collect::<Vec<_>>(),
            "options": self.kind.options(),
            "fieldConfig": { "defaults": self.defaults(), "overrides": [] },
        })
    }

    fn defaults(&self) -> Json {
        let mut steps = vec![json!({ "value": null, "color": "green" })];
        if let Some([first, second]) = self.limits {
            // Where less is worse, such as days that are left, the colors come the other way round.
            let colors = if first < second {
                ["green", "yellow", "red"]
            } else {
                steps[0]["color"] = "red".into();
                ["red", "yellow", "green"]
            };
            let (low, high) = (first.min(second), first.max(second));
            steps.push(json!({ "value": low, "color": colors[1] }));
            steps.push(json!({ "value": high, "color": colors[2] }));
        }
        let mut defaults = json!({
            "unit": self.unit.name(),
            "thresholds": { "mode": "absolute", "steps": steps },
        });
        if matches!(self.unit, Unit::Share) {
            defaults["min"] = 0.into();
            defaults["max"] = 1.into();
        }
        if let Unit::IsUp = self.unit {
            let of = |text: &str, color: &str| json!({ "text": text, "color": color });
            let options = json!({ "0": of("down", "red"), "1": of("up", "green") });
            defaults["mappings"] = json!([{ "type": "value", "options": options }]);
        }
        if self.kind == Kind::Lines {
            let limits = if self.limits.is_some() { "dashed" } else { "off" };
            defaults["custom"] = json!({ "fillOpacity": 8, "thresholdsStyle": { "mode": limits } });
        } else {
            defaults["color"] = json!({ "mode": "thresholds" });
        }
        defaults
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Number => "stat",
            Self::Lines => "timeseries",
            Self::Bars => "bargauge",
        }
    }

    fn options(self) -> Json {
        let last = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        match self {
            Self::Number => json!({ "reduceOptions": last, "colorMode": "value" }),
            Self::Bars => {
                json!({ "reduceOptions": last, "orientation": "horizontal", "displayMode": "basic" })
            }
            Self::Lines => json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
        }
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "short",
            Self::Share => "percentunit",
            Self::Seconds => "s",
            Self::Days => "d",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "Bps",
            Self::PerSecond => "reqps",
            Self::IsUp => "none",
        }
    }
}

fn source() -> Json {
    json!({ "type": "prometheus", "uid": SOURCE })
}

fn uid(name: &str) -> String {
    format!("hwctl-{name}")
}

fn url(name: &str) -> String {
    format!("/grafana/d/{}", uid(name))
}

fn link(title: &str, url: &str) -> Json {
    json!({
        "title": title,
        "type": "link",
        "url": url,
        "icon": "dashboard",
        "tooltip": "",
        "tags": [],
        "asDropdown": false,
        "targetBlank": false,
        "includeVars": true,
        "keepTime": true,
    })
}

fn target((at, Query(query, name)): (usize, &Query)) -> Json {
    let letter = char::from(b'A' + u8::try_from(at).unwrap_or(25));
    json!({
        "refId": letter.to_string(),
        "datasource": source(),
        "expr": query,
        "legendFormat": name,
    })
}

/// What is chosen at the top of a dashboard.
fn instance() -> Json {
    json!({
        "name": "instance",
        "label": "Host",
        "type": "query",
        "datasource": source(),
        "query": { "query": "label_values(up, instance)", "refId": "instance" },
        "refresh": 2,
        "multi": true,
        "includeAll": true,
        "allValue": ".*",
        "current": { "text": ["All"], "value": ["$__all"] },
    })
}
