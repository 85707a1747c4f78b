//! One host of the inventory: how it is reached, and its variables.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::ansible::connection;
use super::ansible::escalation::Escalation;
use super::ansible::world::{HostVars, World};
use super::schema::Shape;
use super::yaml::keys::names_a_secret;
use super::yaml::node::{self, Entry, Later, Node, Value};
use super::yaml::problem::Problem;
use super::{Set, names};
use crate::failure::Failure;

/// Names that Ansible sets itself, which are no variables of the inventory.
const MAGIC: [&str; 37] = [
    "ansible_async_path",
    "ansible_collection_name",
    "ansible_config_file",
    "ansible_dependent_role_names",
    "ansible_diff_mode",
    "ansible_facts",
    "ansible_forks",
    "ansible_inventory_sources",
    "ansible_limit",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_role_names",
    "ansible_playbook_python",
    "ansible_role_name",
    "ansible_role_names",
    "ansible_run_tags",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_version",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "play_hosts",
    "playbook_dir",
    "role_name",
    "role_names",
    "role_path",
    "role_uuid",
    "ansible_check_mode",
    "ansible_parent_role_names",
    "ansible_parent_role_paths",
    "ansible_search_path",
];

/// A host, and how it is reached.
#[derive(Clone)]
pub struct InventoryHost {
    /// Its name in the inventory, or what `--host` said.
    pub name: String,
    /// Whether it is this machine: `ansible_connection: local`.
    pub is_here: bool,
    /// Where ssh goes, and clients.
    pub address: String,
    /// Who logs in; ssh's own choice when absent.
    pub user: Option<String>,
    /// The port of ssh; ssh's own choice when absent.
    pub port: Option<u16>,
    /// The private key of ssh; ssh's own choice when absent. ssh replaces `~user` and `%` tokens
    /// in it.
    pub identity: Option<PathBuf>,
    /// Further arguments of ssh.
    pub ssh_arguments: Vec<String>,
    /// The groups it is in, without `all`, in alphabetical order.
    pub groups: Vec<String>,
    escalation: Escalation,
    /// Why hwctl cannot reach it the way that its variables say.
    refusal: Option<Problem>,
    /// What is wrong with the variables that say how to reach it.
    wrong: Option<Problem>,
    vars: HostVars,
}

impl InventoryHost {
    pub(super) fn of(
        world: &Arc<World>,
        at: Option<usize>,
        name: &str,
        settings: &[Entry],
    ) -> Result<Self, Problem> {
        let vars = HostVars::of(world, at, name)?;
        let listed = at.map(|at| &world.graph.hosts[at]);
        let unusable = listed.filter(|_| names::usable(name).is_err()).map(|listed| {
            // The file may be none of Ansible's, so the name may be a secret.
            Problem::at(&listed.place, "this is not usable as the name of a host").without_line()
        });
        let (reached, wrong) = match connection::read(&vars, settings, name) {
            Ok(reached) => (reached, None),
            Err(problem) => {
                let address = name.to_owned();
                (connection::ConnectionVars { address, ..Default::default() }, Some(problem))
            }
        };
        Ok(Self {
            name: name.to_owned(),
            is_here: reached.is_here,
            address: reached.address,
            user: reached.user,
            port: reached.port,
            identity: reached.identity,
            ssh_arguments: reached.arguments,
            groups: at.map(|at| world.group_names(at)).unwrap_or_default(),
            escalation: reached.escalation,
            refusal: reached.refusal,
            wrong: unusable.or(wrong),
            vars,
        })
    }

    /// The host, unless what says how to reach it is wrong.
    pub(super) fn checked(self) -> Result<Self, Problem> {
        match self.wrong {
            Some(problem) => Err(problem),
            None => Ok(self),
        }
    }

    /// Where the variable at a path of keys is written. None when only the defaults have it.
    #[must_use]
    pub fn place(&self, path: &[&str]) -> Option<String> {
        let (last, folders) = path.split_last()?;
        let mut entries = self.vars.entries();
        for key in folders {
            entries = node::get(entries, key)?.entries()?;
        }
        Some(node::get(entries, last)?.place.to_string())
    }

    /// A refusal of what the inventory says of the host, with the place of the variable at a path of keys.
    #[must_use]
    pub fn refused(&self, what: &str, path: &[&str]) -> Failure {
        let place = self.place(path).map(|place| format!(" ({place})")).unwrap_or_default();
        Failure::usage(format!("{what}{place}")).not_done("no host was contacted")
    }

    /// Refuses a host whose variables have Ansible reach it in a way that hwctl has not.
    pub fn require_reachable(&self) -> Result<(), Failure> {
        let not_done = || format!("`{}` is not contacted", self.name);
        let problem = self.wrong.clone().or_else(|| self.refusal.clone());
        problem.map_or(Ok(()), |problem| Err(Failure::from(problem).not_done(not_done())))
    }

    /// Refuses a host with encrypted files that could not be opened: nobody knows what they set.
    pub fn require_open_vaults(&self) -> Result<(), Failure> {
        let Some(file) = self.vars.closed().first() else { return Ok(()) };
        Err(Failure::usage(format!("`{file}` is encrypted, and no vault password was given"))
            .not_done(format!("`{}` is not contacted", self.name))
            .hint("name a file with `--vault-password-file`, or in ANSIBLE_VAULT_PASSWORD_FILE"))
    }

    /// Encrypted files that count for the host and could not be opened.
    #[must_use]
    pub fn closed_vaults(&self) -> &[String] {
        self.vars.closed()
    }

    /// A value of this shape with its templates evaluated and its vaults opened. Secrets in it are
    /// evaluated when they are needed.
    pub(super) fn evaluate_as(&self, node: &Node, shape: &dyn Shape) -> Result<Node, Problem> {
        if !node.needs_evaluation() {
            return Ok(node.clone());
        }
        let value = match &node.value {
            Value::Map(entries) if shape.is_secret() => Value::Map(
                entries.iter().map(|entry| self.secret(entry)).collect::<Result<_, _>>()?,
            ),
            Value::Map(entries) => {
                let evaluate = |entry: &Entry| {
                    let known = shape.keys().iter().find(|key| key.name == entry.key);
                    let shape = known.map(|key| key.shape).or(shape.each());
                    let node = match shape {
                        Some(shape) if shape.is_secret() && shape.takes_scalar() => {
                            self.secret(entry)?.node
                        }
                        Some(shape) => self.evaluate_as(&entry.node, shape)?,
                        None => entry.node.clone(),
                    };
                    Ok(Entry { node, ..entry.clone() })
                };
                Value::Map(entries.iter().map(evaluate).collect::<Result<_, Problem>>()?)
            }
            _ => return self.vars.evaluate(node),
        };
        Ok(Node::new(value, node.place.clone()))
    }

    /// A secret by its name, which is evaluated when it is needed.
    fn secret(&self, entry: &Entry) -> Result<Entry, Problem> {
        let node = match &entry.node.value {
            Value::Vault(_) | Value::Text(_) if entry.node.needs_evaluation() => {
                let (vars, written) = (self.vars.clone(), entry.node.clone());
                let later = Later::new(move || vars.evaluate(&written));
                Node::new(Value::Later(later), entry.node.place.clone())
            }
            _ => self.vars.evaluate(&entry.node)?,
        };
        Ok(Entry { node, ..entry.clone() })
    }

    /// The settings of the command line.
    pub(super) fn sets(&self) -> &[Set] {
        self.vars.sets()
    }

    /// The merged variables as they were written.
    pub(super) fn written(&self) -> &[Entry] {
        self.vars.entries()
    }

    /// Whether the variables say where the password of sudo is.
    #[must_use]
    pub fn has_become_password(&self) -> bool {
        self.escalation.password.is_some()
    }

    pub(super) fn become_password_entry(&self) -> Result<Option<Entry>, Problem> {
        let Some(entry) = &self.escalation.password else { return Ok(None) };
        let node = self.vars.evaluate(&entry.node)?;
        Ok(Some(Entry { node, ..entry.clone() }))
    }

    /// The program that makes the login root and the flags that it gets, as words.
    #[must_use]
    pub fn sudo(&self) -> Vec<String> {
        let program = self.escalation.program.clone().unwrap_or_else(|| "sudo".to_owned());
        std::iter::once(program).chain(self.escalation.flags.iter().cloned()).collect()
    }

    /// The variables as templates may use them: evaluated, and without what looks like a secret or cannot be
    /// evaluated.
    pub(crate) fn for_templates(&self) -> Map<String, Json> {
        self.plain(self.vars.entries())
    }

    fn plain(&self, entries: &[Entry]) -> Map<String, Json> {
        let is_open =
            |entry: &&Entry| !names_a_secret(&entry.key) && !MAGIC.contains(&entry.key.as_str());
        let plain = |entry: &Entry| Some((entry.key.clone(), self.plain_value(&entry.node)?));
        entries.iter().filter(is_open).filter_map(plain).collect()
    }

    fn plain_value(&self, node: &Node) -> Option<Json> {
        if node.place.is_sealed() {
            return None;
        }
        match &node.value {
            Value::Vault(_) | Value::Later(_) => None,
            Value::Literal(text) => Some(Json::String(text.clone())),
            Value::Text(_) if node.needs_evaluation() => {
                let found = self.vars.evaluate(node).ok()?;
                self.plain_value(&found)
            }
            Value::List(nodes) => nodes.iter().map(|node| self.plain_value(node)).collect(),
            Value::Map(entries) => Some(Json::Object(self.plain(entries))),
            Value::Integer(digits) => Some(Json::String(digits.clone())),
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) => Some(node.json()),
        }
    }

    /// The merged variables as the inventory says them, before hwctl's defaults: equal to what
    /// `ansible-inventory --list` prints. May hold passwords.
    #[must_use]
    pub fn raw(&self) -> Map<String, Json> {
        let mut vars = node::json(self.vars.entries());
        vars.retain(|name, _| !MAGIC.contains(&name.as_str()));
        vars
    }
}

/// The variables are left out: they may hold passwords.
impl fmt::Debug for InventoryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name)
            .field("address", &self.address)
            .field("user", &self.user)
            .field("port", &self.port)
            .field("identity", &self.identity)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::inventory::{Sources, load};

    #[test]
    fn templates_get_no_variable_that_looks_like_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.yaml");
        let text = "all:\n  hosts:\n    a:\n      x_name: shop\n      x_url: '{{ inventory_hostname }}.example'\n      x_carried: '{{ db_password }}@x'\n      \
                    db_password: planted\n      x_pw: planted\n      vault_x: planted\n      \
                    api: { workers: 2, users: { admin: planted } }\n";
        std::fs::write(&path, text).unwrap();
        let inventory = load(&Sources::at(&path, Vec::new())).unwrap();
        let host = inventory.select(&["a".to_owned()], None).unwrap().remove(0);

        let vars = serde_json::Value::Object(host.for_templates());

        let expected = json!({ "x_name": "shop", "x_url": "a.example", "api": { "workers": 2 } });
        assert_eq!(vars, expected);
    }
}
