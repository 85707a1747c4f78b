//! The variable of the operator's own containers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::checks;
use super::mounts::Volumes;
use super::ports::{PortVar, Ports};
use super::scalars::{
    CAPABILITY, IMAGE, INSIDE, Memory, NAME, NETWORK_NAME, NumericUser, USER, Word, is_name,
};
use crate::inventory::patterns;
use crate::inventory::schema::{
    As, Declared, Env, EnvMap, Flag, List, Local, Map, Named, Number, OnePassword, Optional,
    Password, Reader, Text, Variable, Vars,
};
use crate::resource::Mount;
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Containers>()];

/// The containers by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Containers(pub BTreeMap<String, ContainerVars>);

vars! {
    /// A login to a registry.
    pub struct Registry {
        /// user of the registry
        user: String = "null", Text { expected: "the name of a user", pattern: patterns::USER_NAME, check: super::scalars::registry_user };
        /// password or token of the user; the host does not keep it
        password: Password = "null", OnePassword;
    }
}

vars! {
    /// One container.
    pub struct ContainerVars {
        /// image of the container
        image: String = "null", IMAGE;
        /// local image tar, as `docker save` writes it, for hosts that reach no registry
        image_archive: Option<PathBuf> = "null", Optional(Local::FILE);
        /// login for the pull: `user` and `password`
        registry: Option<Registry> = "null", Optional(Map::new());
        /// program and its arguments; the image's own where there are none
        command: Vec<String> = "[]", List(Word);
        /// environment variables, see [containers](containers.md)
        env: Env = "{}", EnvMap;
        /// what lasts: `NAME:/path/inside`, or a map, see [containers](containers.md)
        volumes: Vec<Mount> = "[]", List(Volumes);
        /// ports on the host's loopback, or with `from:` for a network
        ports: Vec<PortVar> = "[]", List(Ports);
        /// Docker networks, in which containers find each other by name; hwctl makes them
        networks: Vec<String> = "[]", List(NETWORK_NAME);
        /// program inside that succeeds when all is well, with its arguments
        health: Vec<String> = "[]", List(Word);
        /// most memory it gets, such as `256M` or `2G`
        memory: u32 = "256M", Memory;
        /// most processes it gets
        pids: u32 = "256", Number { min: 1, max: 1 << 20 };
        /// user by number, such as `999` or `999:1000`; the image's own where none is given
        user: Option<NumericUser> = "null", Optional(USER);
        /// containers that have to run before it
        depends: Vec<String> = "[]", List(NAME);
        /// capabilities of Linux that it keeps, such as `CHOWN`; all others are dropped
        capabilities: Vec<String> = "[]", List(CAPABILITY);
        /// whether it can write nowhere but to its volumes and its `tmpfs`
        read_only: bool = "true", Flag;
        /// paths inside that are kept in memory, up to 64 MB each
        tmpfs: Vec<PathBuf> = "[/tmp, /run]", List(INSIDE);
    }
}

impl Variable for Containers {
    const NAME: &'static str = "containers";
    const DOC: &'static str = "your own containers by name, see [containers](containers.md)";
    const IS_COMMON: bool = true;
    type Rule = As<Named<Map<ContainerVars>>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: Named {
            what: "container",
            is_name,
            pattern: patterns::ANY,
            hint: "use two or more small letters, digits, `_` and `-`, a letter first",
            each: Map::checked(checks::of_one),
        },
        make: Self,
    };

    fn check(&self, vars: &Vars, reader: &mut Reader<'_>) {
        checks::of_all(self, vars, reader);
    }
}
