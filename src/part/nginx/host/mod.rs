//! nginx on the host.

mod diagnosis;
mod restart;
mod trial;

use anyhow::{Result, bail};

use crate::engine::{Case, Driver, Later, PackageContents, Symptoms, Trial};
use crate::event::Finding;
use crate::resource::{Host, last_lines, test_nginx};

/// Messages of nginx's error log about a client that it refuses as configured, with a status below 500.
const REFUSALS: [&str; 5] = [
    " access forbidden by rule",
    " was not found in \"",
    ": password mismatch",
    " no user/password was provided for basic authentication",
    " limiting requests, excess:",
];

/// The driver of nginx.
#[derive(Debug)]
pub(crate) struct Nginx;

impl Driver for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["nginx"]
    }

    fn package_contents(&self) -> &'static [PackageContents] {
        &[PackageContents {
            name: "nginx",
            units: &["nginx.service"],
            configuration: &["/etc/nginx", "/etc/logrotate.d/nginx"],
            folders: &["/var/www"],
        }]
    }

    /// Reads a line of an error log. A refusal and a notice are no faults.
    fn is_fault(&self, line: &str) -> bool {
        let is_quiet = [" [notice] ", " [info] "].iter().any(|level| line.contains(level));
        // The client chose the rest of the line, and could hide an error with it.
        let message = line.split_once(", client: ").map_or(line, |(message, _)| message);
        !is_quiet && !REFUSALS.iter().any(|refusal| message.contains(refusal))
    }

    fn inspect<'a>(&'a self, _: &'a str, case: &'a Case<'a>) -> Later<'a, String> {
        Box::pin(configuration(case.host))
    }

    fn trial(&self) -> Option<&'static dyn Trial> {
        Some(&trial::Configuration)
    }

    /// A new master takes over the listening sockets, the old one finishes its requests.
    fn restart<'a>(&'a self, case: &'a Case<'a>) -> Later<'a, ()> {
        Box::pin(restart::restart(case.host))
    }

    fn diagnose<'a>(
        &'a self,
        case: &'a Case<'a>,
        symptoms: &'a Symptoms<'a>,
    ) -> Later<'a, Vec<Finding>> {
        Box::pin(async { Ok(Vec::from_iter(diagnosis::diagnose(case, symptoms).await?)) })
    }
}

/// Requires that nginx accepts its configuration.
async fn configuration(host: &Host) -> Result<String> {
    let output = test_nginx(host).await?;
    if output.status.success() {
        return Ok("valid".to_owned());
    }
    // The last line only says that it failed.
    let text = String::from_utf8_lossy(&output.stderr);
    match text.lines().find_map(|line| line.split_once("[emerg] ")) {
        Some((_, why)) => bail!("{}", why.trim()),
        None => bail!("{}", last_lines(&output, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_faults_and_refusals_are_not() {
        let error = "2026/11/24 04:06:16 [error] 12#12: *1 connect() failed (111: Connection refused), \
                     client: 192.0.2.1, request: \"GET / access forbidden by rule\"";
        assert!(Nginx.is_fault(error));
        assert!(!Nginx.is_fault("2026/11/24 04:06:16 [notice] 12#12: signal process started"));
        for refusal in [
            "access forbidden by rule, client: 192.0.2.1",
            "user \"x\": password mismatch, client: 192.0.2.1",
            "limiting requests, excess: 5.1 by zone \"login\", client: 192.0.2.1",
        ] {
            let line = format!("2026/11/24 04:06:16 [error] 12#12: *1 {refusal}");
            assert!(!Nginx.is_fault(&line), "{line}");
        }
    }
}
