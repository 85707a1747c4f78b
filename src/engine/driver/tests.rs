//! A driver with packages, and what is found of them.

use super::*;

/// A driver with packages, for tests of the order of a run.
#[derive(Debug)]
struct WithPackages;

impl Driver for WithPackages {
    fn name(&self) -> &'static str {
        "with-packages"
    }

    fn package_contents(&self) -> &'static [PackageContents] {
        &[
            PackageContents {
                name: "nginx",
                units: &["nginx.service"],
                configuration: &["/etc/nginx"],
                folders: &["/var/www"],
            },
            PackageContents {
                name: "docker.io",
                units: &["docker.service"],
                configuration: &[],
                folders: &[],
            },
        ]
    }

    fn private_folders(&self) -> &'static [&'static str] {
        &["/var/lib/own"]
    }
}

pub(in crate::engine) const DRIVERS: Drivers = Drivers(&[&WithPackages]);

#[test]
fn packages_are_found_by_what_they_hold() {
    let path = Path::new;
    assert_eq!(DRIVERS.package_of_unit("docker.service"), Some("docker.io"));
    assert_eq!(DRIVERS.package_of_unit("own.service"), None);
    assert_eq!(DRIVERS.package_configured_at(path("/etc/nginx/x")), Some("nginx"));
    assert_eq!(DRIVERS.package_configured_at(path("/etc/nginxx")), None);
    assert_eq!(DRIVERS.package_that_makes(path("/var/www")), Some("nginx"));
    assert_eq!(DRIVERS.package_that_makes(path("/var/www/x")), None);
    assert!(DRIVERS.is_private(path("/var/lib/own/x")) && !DRIVERS.is_private(path("/var/lib")));
}
