//! What each role of a host brings, and what is skipped.

use super::tests::{debian_13, made, vars};
use super::*;
use crate::resource::Resource;

fn with_roles(roles: &[Role]) -> Stack {
    made(&vars(|vars| vars.set(Roles(roles.to_vec()))), &debian_13()).unwrap()
}

pub(super) fn names(stack: &Stack) -> Vec<&str> {
    stack.parts.iter().map(|part| part.name.as_str()).collect()
}

fn packages(stack: &Stack) -> Vec<String> {
    let found = stack.resources.iter().find_map(|declared| match &declared.resource {
        Resource::Packages(packages) => Some(packages.names.clone()),
        _ => None,
    });
    let mut names = found.unwrap();
    names.sort();
    names
}

#[test]
fn a_host_for_redis_alone_has_no_web_server() {
    let made = with_roles(&[Role::Redis]);

    assert_eq!(names(&made), ["packages", "redis", "host", "firewall"]);
    assert_eq!(packages(&made), ["ca-certificates", "docker-cli", "docker.io", "logrotate", "ufw"]);
    assert!(made.parts.iter().all(|part| part.endpoints.is_empty() && part.questions.is_empty()));
    for declared in &made.resources {
        let id = declared.resource.id().to_string();
        assert!(
            !["nginx", "flask-app.s", "www", "certificate"].iter().any(|w| id.contains(w)),
            "{id}"
        );
    }
}

#[test]
fn a_host_for_the_web_alone_has_no_docker_and_looks_at_no_database() {
    let made = with_roles(&[Role::Web]);

    assert!(!names(&made).contains(&"redis"));
    assert_eq!(packages(&made), ["ca-certificates", "logrotate", "nginx", "ufw"]);
    let paths: Vec<_> =
        made.parts.iter().flat_map(|part| &part.questions).map(|q| q.path.as_str()).collect();
    assert!(
        paths.contains(&"/flask/api/ping") && !paths.contains(&"/flask/api/health"),
        "{paths:?}"
    );
    // The API's settings name its password all the same.
    let ids: Vec<_> = made.resources.iter().map(|d| d.resource.id().to_string()).collect();
    assert!(ids.contains(&"secret redis-password".to_owned()), "{ids:?}");
}

#[test]
fn redis_is_left_out_where_it_is_null() {
    let without = || made(&super::tests::vars_with(&["redis=null"]), &debian_13()).unwrap();

    let made = without();

    assert!(!names(&made).contains(&"redis"), "{:?}", names(&made));
    assert_eq!(packages(&made), packages(&with_roles(&[Role::Web])));
    let paths: Vec<_> =
        made.parts.iter().flat_map(|part| &part.questions).map(|q| q.path.as_str()).collect();
    assert!(!paths.contains(&"/flask/api/health"), "{paths:?}");
    let given = super::tests::vars_with(&["redis={}"]);
    assert!(!given.is_taken_away::<Redis>());
}

#[test]
fn both_roles_in_any_order_are_the_whole_stack() {
    assert_eq!(
        with_roles(&[Role::Redis, Role::Web]).resources,
        with_roles(&[Role::Web, Role::Redis]).resources
    );
    let made = with_roles(&[Role::Web, Role::Redis]);
    let parts: Vec<_> = made.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names(&made), parts);
}

#[test]
fn what_is_skipped_brings_no_packages_of_its_own() {
    let mut made = with_roles(&[Role::Web, Role::Redis]);
    made.narrow(&Scope::Except(vec!["redis".to_owned(), "firewall".to_owned()]));

    let spared = made.resources.iter().find_map(|declared| match &declared.resource {
        Resource::Packages(packages) => Some(packages.spared.clone()),
        _ => None,
    });
    assert_eq!(spared.unwrap(), ["docker.io", "docker-cli", "ufw"]);

    // The sites need what nginx's package brings.
    let spared = |parts: &[&str]| {
        let mut made = with_roles(&[Role::Web]);
        made.narrow(&Scope::Except(parts.iter().map(|part| (*part).to_owned()).collect()));
        made.resources.iter().find_map(|declared| match &declared.resource {
            Resource::Packages(packages) => Some(packages.spared.len()),
            _ => None,
        })
    };
    assert_eq!(spared(&["nginx"]), Some(0));
    assert!(spared(&["nginx", "sites"]) > Some(0));
}

#[test]
fn a_part_alone_brings_its_own_packages() {
    let mut made = with_roles(&[Role::Web, Role::Redis]);
    let scope = Scope::Only(vec!["redis".to_owned()]);
    made.narrow(&scope);

    let declared = made.resources.iter().find(|declared| scope.means(declared)).unwrap();
    let Resource::Packages(packages) = &declared.resource else { panic!("{declared:?}") };
    assert!(packages.spared.contains(&"nginx".to_owned()), "{packages:?}");
    assert!(!packages.spared.contains(&"docker.io".to_owned()), "{packages:?}");
}
