//! Redis on the host.

mod dump;
mod place;

use crate::engine::{Case, Driver, Dump, Later, PackageContents, Symptoms};
use crate::event::{Finding, Measure, Sign};
use crate::part::docker::host::{self as docker, Subject, diagnose};

/// Messages that Redis 7 logs as warnings at every start and end.
const ROUTINE: [&str; 6] = [
    "oO0OoO0OoO0Oo Redis is starting",
    "Redis version=",
    "Configuration loaded",
    "Server initialized",
    "User requested shutdown",
    "Redis is now ready to exit",
];

/// The driver of Redis. Its spec has to have the settings `container`, `socket` and `password`, the name of a
/// secret that the host has made.
#[derive(Debug)]
pub(crate) struct Redis;

impl Driver for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn package_contents(&self) -> &'static [PackageContents] {
        &[docker::PACKAGE]
    }

    fn private_folders(&self) -> &'static [&'static str] {
        &["/var/lib/redis-flask"]
    }

    /// Finds warnings, such as `1:M 24 Nov 2026 04:06:16.123 # …`. A line in another form is printed
    /// before Redis has its log, and stars mark a start that fails.
    fn is_fault(&self, line: &str) -> bool {
        let mut fields = line.split(' ');
        let is_log = fields.next().is_some_and(|head| head.contains(':'));
        if !is_log {
            return line.contains("***");
        }
        let is_warning = fields.nth(4) == Some("#");
        is_warning && !ROUTINE.iter().any(|message| line.contains(&format!("# {message}")))
    }

    fn signs<'a>(&'a self, case: &'a Case<'a>) -> Later<'a, Vec<Sign>> {
        Box::pin(async {
            let mut redis = place::Place::of(case.part)?.connect(case.host).await?;
            let told = redis.ask(&["INFO", "stats"]).await?;
            let commands =
                told.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
            let commands = commands.and_then(|commands| commands.trim().parse().ok());
            Ok(commands
                .map(|commands| Sign::new("Redis", Measure::Count(commands)))
                .into_iter()
                .collect())
        })
    }

    fn dump(&self) -> Option<&dyn Dump> {
        Some(&dump::RedisDump)
    }

    fn diagnose<'a>(
        &'a self,
        case: &'a Case<'a>,
        symptoms: &'a Symptoms<'a>,
    ) -> Later<'a, Vec<Finding>> {
        let subject = Subject {
            name: "Redis".to_owned(),
            cause: "redis",
            port: Some("redis.port".to_owned()),
        };
        Box::pin(async move { Ok(Vec::from_iter(diagnose(case, symptoms, &subject).await)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_faults_unless_they_are_routine() {
        assert!(Redis.is_fault("1:M 24 Nov 2026 04:06:16.123 # WARNING Memory overcommit"));
        assert!(Redis.is_fault("*** FATAL CONFIG FILE ERROR ***"));
        assert!(!Redis.is_fault("1:M 24 Nov 2026 04:06:16.123 * Ready to accept connections"));
        assert!(!Redis.is_fault("1:M 24 Nov 2026 04:06:16.123 # Server initialized"));
        assert!(!Redis.is_fault("Redis 7.0"));
    }
}
