//! The users and groups that a resource relies on.

use std::collections::BTreeSet;

use crate::resource::host::fs::Owner;

/// Names or numbers of users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Users.
    pub users: BTreeSet<String>,
    /// Groups.
    pub groups: BTreeSet<String>,
}

impl Accounts {
    /// Those of an owner.
    pub(in crate::resource) fn of_owner(owner: &Owner) -> Self {
        Self { users: [owner.user.clone()].into(), groups: [owner.group.clone()].into() }
    }

    /// The same with those that a service of systemd runs as, by the text of its unit. A user that systemd makes for the
    /// service is not among them.
    pub(in crate::resource) fn and_of_unit(mut self, text: &str) -> Self {
        let value = |line: &str, key: &str| {
            let value = line.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim();
            // A specifier of systemd stands for a name that is not known here.
            (!value.is_empty() && !value.contains('%')).then(|| value.to_owned())
        };
        let is_yes = |value: String| ["yes", "true", "on", "1"].contains(&value.as_str());
        if text.lines().any(|line| value(line, "DynamicUser").is_some_and(is_yes)) {
            return self;
        }
        self.users.extend(text.lines().filter_map(|line| value(line, "User")));
        self.groups.extend(text.lines().filter_map(|line| value(line, "Group")));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_names_its_user_and_group_unless_systemd_makes_them() {
        let of = |text: &str| Accounts::default().and_of_unit(text);
        let found = of("[Service]\nUser=anna\nGroup = staff\nUserX=no\n#User=other\n");
        assert_eq!(found.users, BTreeSet::from(["anna".to_owned()]));
        assert_eq!(found.groups, BTreeSet::from(["staff".to_owned()]));
        assert_eq!(of("User=%i\nGroup=\n"), Accounts::default());
        assert_eq!(of("User=anna\nDynamicUser=yes\n"), Accounts::default());
    }
}
