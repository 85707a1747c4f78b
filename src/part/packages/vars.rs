//! The variable of the packages that the operator wants besides those of the parts.

use crate::inventory::schema::{As, Declared, List, Text, Variable};
use crate::inventory::{check, patterns};

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<OwnPackages>()];

/// Packages of the distribution that the operator wants installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPackages(pub Vec<String>);

impl Variable for OwnPackages {
    const NAME: &'static str = "packages";
    const DOC: &'static str = "packages of the distribution to install, by name";
    const DEFAULT: &'static str = "[]";
    const IS_COMMON: bool = true;
    type Rule = As<List<Text<String>>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: List(Text {
            expected: "the name of a package, such as `htop`",
            pattern: patterns::ANY,
            check: check::package,
        }),
        make: Self,
    };
}
