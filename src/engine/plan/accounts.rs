//! Refuses a plan that relies on users or groups which nobody has made and which it does not make either.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use super::{Plan, Wanted};
use crate::resource::{Advise as _, Host, Pace, Resource, has_group, has_user};

/// The first missing user or group of each change. None is missed where packages are installed: they bring some.
pub(super) fn missing<'a>(
    plan: &'a Plan,
    wanted: &Wanted,
    host: &Host,
) -> Vec<(&'a Resource, anyhow::Error)> {
    let installs = plan
        .steps
        .iter()
        .any(|step| step.to.is_none() && step.resource.profile().pace == Pace::Install);
    if installs {
        return Vec::new();
    }
    let made: BTreeSet<&str> =
        wanted.declared.iter().filter_map(|step| step.resource.makes_account()).collect();
    let declared = plan.steps.iter().filter(|step| step.to.is_none());
    let lacking = |resource: &'a Resource| {
        let error = lacks(resource, &made, host).err()?;
        Some((resource, error))
    };
    declared.filter_map(|step| lacking(&step.resource)).collect()
}

fn lacks(resource: &Resource, made: &BTreeSet<&str>, host: &Host) -> Result<()> {
    let accounts = resource.accounts();
    for user in accounts.users.iter().filter(|name| !made.contains(name.as_str())) {
        if !has_user(host, user)? {
            return Err(anyhow!("there is no user `{user}` on the host")).hint(format!(
                "name a user that is there, or make this one as `users.{user}` in the inventory"
            ));
        }
    }
    for group in accounts.groups.iter().filter(|name| !made.contains(name.as_str())) {
        if !has_group(host, group)? {
            return Err(anyhow!("there is no group `{group}` on the host")).hint(format!(
                "name a group that is there, or make it on the host with `groupadd {group}`"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::step::Step;
    use crate::resource::{Content, Declared, File, Owner, User};

    async fn refused(resources: Vec<Resource>, host: &Host) -> Option<String> {
        let declared = resources.into_iter().map(|it| Step::from(Declared::new("files", it)));
        let wanted = Wanted::declared_only(declared.collect());
        let failure = Plan::make(&wanted, host).await.err()?;
        Some(format!("{}: {}", failure.what, failure.why.join(" ")))
    }

    #[tokio::test]
    async fn a_file_of_nobody_is_refused_unless_its_owner_is_made() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        for (table, line) in [("passwd", "root:x:0:0::/root:/bin/sh\n"), ("group", "root:x:0:\n")] {
            std::fs::write(root.path().join("etc").join(table), line).unwrap();
        }
        let file = |user: &str, group: &str| -> Resource {
            File::new("/srv/x", Content::text("x"), 0o644, Owner::new(user, group)).into()
        };
        let user = User { name: "anna".to_owned(), home: "/x".into(), owns_home: false };

        assert_eq!(refused(vec![file("root", "0")], &host).await, None);
        let told = refused(vec![file("anna", "root")], &host).await.unwrap();
        assert!(told.contains("no user `anna`"), "{told}");
        let told = refused(vec![file("root", "staff")], &host).await.unwrap();
        assert!(told.contains("no group `staff`"), "{told}");
        assert_eq!(refused(vec![file("anna", "anna"), user.into()], &host).await, None);
    }
}
