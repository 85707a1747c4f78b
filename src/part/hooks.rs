//! The variable of the operator's own commands around a run. They run on the operator's machine.

use crate::inventory::patterns;
use crate::inventory::schema::{List, Map, Text, Variable};
use crate::vars;

vars! {
    /// Commands around `hwctl provision`, once for each host.
    pub struct Hooks {
        /// command before the host is contacted; one that fails stops the run of the host
        before_provision: Vec<String> = "[]", List(WORD);
        /// command after the run; `HWCTL_OUTCOME` says how it ended
        after_provision: Vec<String> = "[]", List(WORD);
    }
}

const WORD: Text<String> = Text {
    expected: "a word of a command",
    pattern: patterns::ANY,
    check: |text| (!text.contains('\0')).then(|| text.to_owned()),
};

impl Variable for Hooks {
    const NAME: &'static str = "hooks";
    const DOC: &'static str = "commands on the operator's machine around a run";
    const IS_COMMON: bool = true;
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::new();
}
