//! Evaluates the values of one host: Jinja templates, and what a vault has encrypted.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectExt as _, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind};

use super::world::HostVars;
use super::{template, template_value};
use crate::failure::Page;
use crate::inventory::names::shown;
use crate::inventory::yaml::keys::is_called_a_secret;
use crate::inventory::yaml::node::{Entry, Node, Value};
use crate::inventory::yaml::place::{Place, Seal};
use crate::inventory::yaml::problem::Problem;

/// Variables that name each other. One that names itself is refused soon.
const DEPTH: usize = 24;

/// One evaluation, with all that it leads to.
pub(super) struct Evaluation {
    scope: Arc<Scope>,
}

/// What the templates of an evaluation share.
struct Shared {
    environment: Environment<'static>,
    depth: AtomicUsize,
    /// How secret the result may be, as the number of a [`Seal`]: a vault was opened on the way, or a variable or the
    /// environment was looked up, which may hold a secret of another tool.
    seal: Arc<AtomicU8>,
    /// What went wrong in a variable that a template names.
    wrong: Mutex<Option<Problem>>,
    /// Why the last name that was looked up has no value. A template may do without it.
    missing: Mutex<Option<Problem>>,
}

/// Why there is no value.
enum Fault {
    /// Something is not defined, for which a template may have a default.
    Missing(Problem),
    Wrong(Problem),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Missing(problem) | Fault::Wrong(problem) => problem,
        }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Wrong(problem)
    }
}

/// The variables of one host as a template sees them.
pub(super) struct Scope {
    host: HostVars,
    shared: Arc<Shared>,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("host", &self.host.name).finish_non_exhaustive()
    }
}

impl Evaluation {
    pub(super) fn of(host: &HostVars) -> Self {
        let seal = Arc::new(AtomicU8::new(Seal::Open as u8));
        let shared = Shared {
            environment: template::environment(Arc::clone(&seal)),
            depth: AtomicUsize::new(0),
            seal,
            wrong: Mutex::default(),
            missing: Mutex::default(),
        };
        Self { scope: Arc::new(Scope { host: host.clone(), shared: Arc::new(shared) }) }
    }

    pub(super) fn node(&self, node: &Node) -> Result<Node, Problem> {
        let value = match &node.value {
            Value::List(nodes) => {
                Value::List(nodes.iter().map(|node| self.node(node)).collect::<Result<_, _>>()?)
            }
            Value::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|entry| Ok(Entry { node: self.node(&entry.node)?, ..entry.clone() }))
                    .collect::<Result<_, Problem>>()?,
            ),
            _ if node.needs_evaluation() => return self.scope.leaf(node),
            value => value.clone(),
        };
        Ok(Node::new(value, node.place.clone()))
    }
}

impl Scope {
    /// The value of a template or a vault.
    fn leaf(self: &Arc<Self>, node: &Node) -> Result<Node, Problem> {
        self.shared.seal.store(Seal::Open as u8, Relaxed);
        let value = match &node.value {
            Value::Vault(text) => Jinja::from(self.open(text, &node.place)?),
            Value::Text(text) => self.render(text, &node.place)?,
            _ => return Ok(node.clone()),
        };
        let place = node.place.clone().sealed(match self.shared.seal.load(Relaxed) {
            seal if seal == Seal::Secret as u8 => Seal::Secret,
            seal if seal == Seal::Made as u8 => Seal::Made,
            _ => Seal::Open,
        });
        template_value::to_node(&value, &place).ok_or_else(|| {
            Problem::at(&node.place, "this template gives something that is no value of YAML")
        })
    }

    /// Notes how secret something is that the value is made of.
    fn sealed(&self, seal: Seal) {
        self.shared.seal.fetch_max(seal as u8, Relaxed);
    }

    fn open(&self, text: &str, place: &Place) -> Result<String, Problem> {
        let opened = self.host.world.vault.open(text).map_err(|problem| problem.or_at(place))?;
        self.sealed(Seal::Secret);
        Ok(opened.expose().to_owned())
    }

    /// Evaluates a text. A single expression keeps its type.
    fn render(self: &Arc<Self>, text: &str, place: &Place) -> Result<Jinja, Fault> {
        if self.shared.depth.load(Relaxed) >= DEPTH {
            let message = format!("more than {DEPTH} templates refer to each other");
            let hint = "a variable cannot refer to itself";
            return Err(Problem::at(place, message).hint(hint).into());
        }
        self.sealed(place.seal());
        self.shared.depth.fetch_add(1, Relaxed);
        let context = Jinja::from_dyn_object(Arc::clone(self));
        let rendered = template::render(&self.shared.environment, text, context);
        self.shared.depth.fetch_sub(1, Relaxed);
        let wrong = take(&self.shared.wrong);
        match rendered {
            Ok(value) if wrong.is_none() => Ok(value),
            Ok(_) => {
                let fails = || Problem::at(place, "this template fails");
                Err(Fault::Wrong(wrong.unwrap_or_else(fails)))
            }
            Err(error) => Err(match wrong {
                Some(wrong) => Fault::Wrong(wrong),
                None => self.explain(&error, place),
            }),
        }
    }

    /// What is wrong with a template. Errors may hold values, so only their kind is told.
    fn explain(&self, error: &Error, place: &Place) -> Fault {
        match error.kind() {
            ErrorKind::UndefinedError => Fault::Missing(match take(&self.shared.missing) {
                Some(problem) => problem.or_at(place),
                None => Problem::at(place, "something in this template is not defined"),
            }),
            ErrorKind::UnknownFilter
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownMethod
            | ErrorKind::SyntaxError => {
                let detail = error.detail().unwrap_or("it is not understood");
                let message = format!("hwctl does not evaluate this template: {}", shown(detail));
                Fault::Wrong(
                    Problem::at(place, message)
                        .hint("write the value itself; tag it `!unsafe` if the braces are meant")
                        .page(Page::Inventory),
                )
            }
            kind => Fault::Wrong(Problem::at(place, format!("this template fails: {kind}"))),
        }
    }

    /// Why there is no variable of this name.
    fn missing(&self, name: &str) -> Problem {
        let problem = Problem::nowhere(format!("`{}` is not defined", shown(name)));
        match self.host.closed.first() {
            Some(file) => problem.hint(format!(
                "it may be in `{file}`, which is encrypted: name the file of its password with \
                 `--vault-password-file`"
            )),
            None => problem,
        }
    }

    /// A value of the inventory as templates see it, evaluated.
    fn value(self: &Arc<Self>, node: &Node) -> Result<Jinja, Fault> {
        Ok(match &node.value {
            Value::Vault(text) => Jinja::from(self.open(text, &node.place)?),
            Value::Text(text) if node.needs_evaluation() => self.render(text, &node.place)?,
            Value::List(nodes) => {
                let values = nodes.iter().map(|node| self.value(node));
                Jinja::from(values.collect::<Result<Vec<_>, _>>()?)
            }
            Value::Map(entries) => {
                let pairs = entries.iter().map(|e| Ok((e.key.clone(), self.value(&e.node)?)));
                Jinja::from_pairs(pairs.collect::<Result<Vec<_>, Fault>>()?)
            }
            value => {
                self.sealed(node.place.seal());
                template_value::of_scalar(value)
            }
        })
    }

    /// What Ansible itself defines for each host.
    fn magic(self: &Arc<Self>, name: &str) -> Option<Jinja> {
        let HostVars { world, at, name: host, .. } = &self.host;
        let file = || at.and_then(|at| world.graph.hosts[at].file.clone());
        Some(match name {
            "inventory_hostname" => Jinja::from(host.as_str()),
            "inventory_hostname_short" => Jinja::from(host.split('.').next().unwrap_or(host)),
            "inventory_file" => Jinja::from(file()?.to_str()?),
            "inventory_dir" => Jinja::from(file()?.parent()?.to_str()?),
            "playbook_dir" => Jinja::from(std::env::current_dir().ok()?.to_str()?),
            "group_names" => Jinja::from(at.map(|at| world.group_names(at)).unwrap_or_default()),
            "groups" => Jinja::from_object(Groups { scope: Arc::clone(self) }),
            "hostvars" => Jinja::from_object(HostsVars { scope: Arc::clone(self) }),
            _ => return None,
        })
    }

    /// The scope of another host.
    fn of(&self, name: &str) -> Option<Result<Self, Problem>> {
        let world = &self.host.world;
        let at = world.graph.find_host(name)?;
        let host = HostVars::of(world, Some(at), name);
        Some(host.map(|host| Self { host, shared: Arc::clone(&self.shared) }))
    }

    /// Stops the evaluation, whatever the template makes of a missing value.
    fn stop(&self, problem: Problem) -> Jinja {
        put(&self.shared.wrong, problem);
        Jinja::from(Error::new(ErrorKind::InvalidOperation, "a variable cannot be evaluated"))
    }
}

fn put<T>(into: &Mutex<Option<T>>, value: T) {
    *into.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

fn take<T>(from: &Mutex<Option<T>>) -> Option<T> {
    from.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let name = key.as_str()?;
        if let Some(value) = self.magic(name) {
            return Some(value);
        }
        let Some(entry) = self.host.entries.iter().find(|entry| entry.key == name) else {
            put(&self.shared.missing, self.missing(name));
            return None;
        };
        self.sealed(if is_called_a_secret(name) { Seal::Secret } else { Seal::Made });
        match self.value(&entry.node) {
            Ok(value) => Some(value),
            Err(Fault::Wrong(problem)) => Some(self.stop(problem)),
            Err(Fault::Missing(problem)) => {
                put(&self.shared.missing, problem);
                None
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|scope| {
            Box::new(scope.host.entries.iter().map(|entry| Jinja::from(entry.key.as_str())))
        })
    }
}

/// The names of hosts by group.
#[derive(Debug)]
struct Groups {
    scope: Arc<Scope>,
}

impl Object for Groups {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let graph = &self.scope.host.world.graph;
        let hosts = graph.hosts_of(graph.find_group(key.as_str()?)?);
        let names = hosts.iter().map(|at| graph.hosts[*at].name.clone());
        Some(Jinja::from(names.collect::<Vec<_>>()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|this| {
            let groups = this.scope.host.world.graph.groups.iter();
            Box::new(groups.map(|group| Jinja::from(group.name.as_str())))
        })
    }
}

/// The variables of all hosts by name.
#[derive(Debug)]
struct HostsVars {
    scope: Arc<Scope>,
}

impl Object for HostsVars {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        match self.scope.of(key.as_str()?)? {
            Ok(scope) => Some(Jinja::from_object(scope)),
            Err(problem) => Some(self.scope.stop(problem)),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|this| {
            let hosts = this.scope.host.world.graph.hosts.iter();
            Box::new(hosts.map(|host| Jinja::from(host.name.as_str())))
        })
    }
}
