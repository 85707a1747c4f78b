//! Refuses a plan that relies on users or groups which nobody has made and which it does not make either.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use super::{Plan, Wanted};
use crate::engine::record::step::Step;
use crate::resource::{Advise as _, Host, Pace, Resource, has_group, has_user};

/// The first missing user or group of each change. None is missed where packages are installed: they bring some.
pub(super) async fn missing<'a>(
    plan: &'a Plan,
    wanted: &Wanted,
    host: &Host,
) -> Vec<(&'a Resource, anyhow::Error)> {
    let is_declared = |step: &&Step| step.to.is_none();
    let is_install = |step: &Step| step.resource.profile().pace == Pace::Install;
    if plan.steps.iter().filter(is_declared).any(is_install) {
        return Vec::new();
    }
    let made: BTreeSet<&str> =
        wanted.declared.iter().filter_map(|step| step.resource.makes_account()).collect();
    let mut missing = Vec::new();
    for Step { resource, .. } in plan.steps.iter().filter(is_declared) {
        missing.extend(lacks(resource, &made, host).await.err().map(|error| (resource, error)));
    }
    missing
}

async fn lacks(resource: &Resource, made: &BTreeSet<&str>, host: &Host) -> Result<()> {
    let accounts = resource.accounts();
    for user in accounts.users.iter().filter(|name| !made.contains(name.as_str())) {
        if !has_user(host, user)? && !is_known_elsewhere("passwd", user, host).await {
            return Err(anyhow!("there is no user `{user}` on the host")).hint(format!(
                "name a user that is there, or make this one as `users.{user}` in the inventory"
            ));
        }
    }
    for group in accounts.groups.iter().filter(|name| !made.contains(name.as_str())) {
        if !has_group(host, group)? && !is_known_elsewhere("group", group, host).await {
            return Err(anyhow!("there is no group `{group}` on the host")).hint(format!(
                "name a group that is there, or make it on the host with `groupadd {group}`"
            ));
        }
    }
    Ok(())
}

/// Whether the host knows a name from elsewhere than its own tables, such as a directory service.
async fn is_known_elsewhere(table: &str, name: &str, host: &Host) -> bool {
    let output = host.output("getent", &["--", table, name]).await;
    output.is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let user = User { name: "x-anna".to_owned(), home: "/x".into(), owns_home: false };

        assert_eq!(refused(vec![file("root", "0")], &host).await, None);
        let told = refused(vec![file("x-anna", "root")], &host).await.unwrap();
        assert!(told.contains("no user `x-anna`"), "{told}");
        let told = refused(vec![file("root", "x-staff")], &host).await.unwrap();
        assert!(told.contains("no group `x-staff`"), "{told}");
        assert_eq!(refused(vec![file("x-anna", "x-anna"), user.into()], &host).await, None);
    }
}
