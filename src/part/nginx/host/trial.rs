//! How a new configuration of nginx is tried before nginx reads it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::engine::{Fault, Later, OwnFile, Trial};
use crate::resource::{Host, last_lines};

const FOLDER: &str = "/etc/nginx";

/// Tests the copy `$1` in the real place. `nginx -t` makes logs that are missing, which are not for everybody.
const TEST: &str = r#"umask 027 && mount --bind "$1" /etc/nginx && exec nginx -t -q"#;

/// Runs a second nginx with the configuration on disk, in a network of its own that has the addresses
/// of the host and of the operator, and looks at it. All of it ends with this script.
const SECOND_NGINX: &str = r#"
hwctl=$1 to=$2 from=$3
ip link set lo up &&
for address in $to $from; do ip addr add $address dev lo nodad 2>/dev/null; done
mount -t tmpfs logs /var/log/nginx &&
: >/var/log/nginx/pid && mount --bind /var/log/nginx/pid /run/nginx.pid &&
nginx -q 2>/dev/null &&
exec "$hwctl" look"#;

/// The trial of nginx's configuration.
#[derive(Debug)]
pub(super) struct Configuration;

impl Trial for Configuration {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn program(&self) -> &'static Path {
        Path::new("/usr/sbin/nginx")
    }

    fn folder(&self) -> &'static Path {
        Path::new(FOLDER)
    }

    fn unit(&self) -> &'static str {
        "nginx.service"
    }

    fn test<'a>(&'a self, copy: &'a Path, host: &'a Host) -> Later<'a, Option<String>> {
        Box::pin(async move {
            let args = ["--mount", "--", "sh", "-c", TEST, "sh", &copy.to_string_lossy()];
            let output = host.output("unshare", &args).await?;
            Ok((!output.status.success()).then(|| last_lines(&output, 4)))
        })
    }

    fn fault(&self, report: &str) -> Option<Fault> {
        let (file, line) = place(report)?;
        let error = report.split(" | ").find(|line| line.contains("[emerg]")).unwrap_or(report);
        let what = error.split_once("] ").map_or(error, |(_, what)| what);
        // Where it writes to its log as well, the numbers of its process come first.
        let what = what.trim_start_matches(|c: char| c.is_ascii_digit() || "#: ".contains(c));
        Some(Fault { file: file.into(), line: line.to_owned(), what: what.to_owned() })
    }

    fn read_first(&self, own: &[OwnFile<'_>], copy: &Path) -> Result<()> {
        let mut includes = String::new();
        for OwnFile { link, target } in own {
            let _ = fs::remove_file(copy.join(link));
            let _ = writeln!(includes, "include {};", target.display());
        }
        let main = copy.join("nginx.conf");
        let text =
            fs::read_to_string(&main).with_context(|| format!("read `{}`", main.display()))?;
        // The first line that includes others' files.
        let include = format!("include {FOLDER}/");
        let is_glob = |line: &str| line.trim().starts_with(&include) && line.contains('*');
        let http = text.find("http {").unwrap_or_default();
        let mut lines = text[http..].split_inclusive('\n');
        let before: usize = lines.by_ref().take_while(|line| !is_glob(line)).map(str::len).sum();
        let (before, after) = text.split_at(http + before);
        fs::write(&main, format!("{before}{includes}{after}"))
            .with_context(|| format!("write `{}`", main.display()))
    }

    fn second_instance(&self) -> &'static str {
        SECOND_NGINX
    }
}

/// The file and the line that nginx names in a message.
fn place(told: &str) -> Option<(&str, &str)> {
    let (_, place) = told.rsplit_once(" in /")?;
    let start = told.len() - place.len() - 1;
    let (file, line) = told[start..].split_whitespace().next()?.rsplit_once(':')?;
    line.parse::<u32>().is_ok().then_some((file, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_that_nginx_names_is_found() {
        let told = "nginx: [emerg] a duplicate default server for 0.0.0.0:80 in /etc/nginx/x y:z/own:12 | nginx: configuration file /etc/nginx/nginx.conf test failed";
        assert_eq!(
            place("nginx: [emerg] \"gzip\" directive is duplicate in /etc/nginx/conf.d/a.conf:1"),
            Some(("/etc/nginx/conf.d/a.conf", "1"))
        );
        assert_eq!(place(told), None, "a name with a space is left to the run");
        assert_eq!(place("nginx: [emerg] cannot load certificate"), None);
    }
}
