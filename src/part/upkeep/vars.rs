//! The variable of the rotation of logs.

use serde::Serialize;

use crate::inventory::schema::{Choice, Declared, Map, Number, Variable};
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Logrotate>()];

vars! {
    /// Rotation of nginx's logs.
    pub struct Logrotate {
        /// old logs that are kept
        keep: u16 = "14", Number { min: 1, max: 3650 };
        /// how often logs are rotated
        every: Interval = "daily", Choice(&[
            ("daily", Interval::Daily),
            ("weekly", Interval::Weekly),
            ("monthly", Interval::Monthly),
        ]);
    }
}

impl Variable for Logrotate {
    const NAME: &'static str = "logrotate";
    const DOC: &'static str = "rotation of nginx's logs";
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::new();
}

/// How often logs are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
}
