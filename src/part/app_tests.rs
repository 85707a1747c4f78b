//! What the operator's own apps become.

use super::tests::{debian_13, made, text, vars_with};
use super::*;
use crate::resource::{Container, HealthAddress, Resource, Task};

fn with(apps: &str) -> Stack {
    made(&vars_with(&[&format!("apps={apps}")]), &debian_13()).unwrap()
}

fn of_shop(stack: &Stack) -> Vec<&Resource> {
    let own = stack.resources.iter().filter(|declared| declared.tag == "shop");
    own.map(|declared| &declared.resource).collect()
}

fn containers<'a>(resources: &[&'a Resource]) -> Vec<&'a Container> {
    let container = |resource: &&'a Resource| match resource {
        Resource::Container(container) => Some(container),
        _ => None,
    };
    resources.iter().filter_map(container).collect()
}

fn tasks<'a>(resources: &[&'a Resource]) -> Vec<&'a Task> {
    let task = |resource: &&'a Resource| match resource {
        Resource::Task(task) => Some(task),
        _ => None,
    };
    resources.iter().filter_map(task).collect()
}

#[test]
fn the_instances_of_an_image_hand_over_and_share_their_volumes() {
    let made = with(
        "{ shop: { path: /shop, image: 'shop:1', instances: 2, container_port: 80, volumes: [data:/data], \
         env: { TOKEN: { made: token } }, before: [migrate], after: [warm] } }",
    );

    let resources = of_shop(&made);
    let (containers, tasks) = (containers(&resources), tasks(&resources));

    let [first, second] = containers.as_slice() else { panic!("{containers:?}") };
    assert_eq!(second.name, format!("{}-2", first.name));
    for container in [first, second] {
        assert!(container.hands_over && container.is_launched && container.read_only_root);
        assert_eq!(container.env["PORT"], "80");
        let [port] = container.ports.as_slice() else { panic!("{:?}", container.ports) };
        assert!(port.host_address.is_loopback() && port.container_port == 80);
        let health = container.health.as_ref().unwrap();
        assert_eq!(
            (&health.address, health.path.as_str()),
            (&HealthAddress::Port(port.host_port), "/shop/")
        );
        assert!(container.inputs.contains(&resources_id(tasks[0])));
    }
    let upstream = text(&made, "/etc/nginx/upstreams/shop.conf");
    for container in [first, second] {
        let server = format!("server 127.0.0.1:{};", container.ports[0].host_port);
        assert!(upstream.contains(&server), "{upstream}");
    }
    let [before, after] = tasks.as_slice() else { panic!("{tasks:?}") };
    for (task, line) in [(before, "migrate"), (after, "warm")] {
        assert_eq!(task.command, ["/bin/sh", "-ec", line]);
        let container = task.container.as_ref().unwrap();
        assert!(container.ports.is_empty() && container.mounts == first.mounts);
    }
    let place = |found: &dyn Fn(&Resource) -> bool| {
        made.resources.iter().position(|declared| found(&declared.resource)).unwrap()
    };
    let nginx = place(&|resource| resource.id().as_str() == "unit nginx.service");
    assert!(place(&|resource| *resource == Resource::from((*second).clone())) < nginx);
    assert!(place(&|resource| *resource == Resource::from((*after).clone())) > nginx);
}

fn resources_id(task: &Task) -> crate::resource::Id {
    Resource::from(task.clone()).id()
}

#[test]
fn a_version_has_a_name_of_its_own_and_no_secret_is_in_it() {
    let named = |env: &str| {
        let made = with(&format!("{{ shop: {{ path: /shop, image: 'shop:1', env: {env} }} }}"));
        containers(&of_shop(&made))[0].name.clone()
    };

    assert_ne!(named("{ A: 1 }"), named("{ A: 2 }"));
    assert_eq!(named("{ API_KEY: planted-one }"), named("{ API_KEY: planted-two }"));
}
