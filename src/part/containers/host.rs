//! The operator's own containers on the host.

use crate::engine::{Case, Driver, Later, PackageContents, Symptoms};
use crate::event::Finding;
use crate::part::docker::host::{PACKAGE, Subject, diagnose};

/// The driver of containers. All that it has to know is in their resources.
#[derive(Debug)]
pub(crate) struct Containers;

impl Driver for Containers {
    fn name(&self) -> &'static str {
        "containers"
    }

    fn package_contents(&self) -> &'static [PackageContents] {
        &[PACKAGE]
    }

    fn diagnose<'a>(
        &'a self,
        case: &'a Case<'a>,
        symptoms: &'a Symptoms<'a>,
    ) -> Later<'a, Vec<Finding>> {
        let name = &case.part.name;
        let subject = Subject {
            name: format!("`{name}`"),
            cause: "container",
            port: Some(format!("containers.{name}.ports")),
        };
        Box::pin(async move { Ok(Vec::from_iter(diagnose(case, symptoms, &subject).await)) })
    }
}
