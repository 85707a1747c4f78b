//! The variable of Redis.

use std::path::PathBuf;

use crate::inventory::schema::{
    Declared, Fields, Local, Map, Number, Optional, Reader, Text, Variable, Vars,
};
use crate::inventory::{check, patterns};
use crate::part::firewall::{SSH_PORT, holder_of};
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Redis>()];

vars! {
    /// The Redis container.
    pub struct Redis {
        /// image of the container
        image: String = "\"redis:7-alpine\"", Text { expected: "an image such as `redis:7-alpine`", pattern: patterns::IMAGE, check: check::image };
        /// name of the container
        container: String = "redis-flask", DOCKER_NAME;
        /// volume that keeps its data
        volume: String = "flask-app_redis-data", DOCKER_NAME;
        /// port on the host's loopback
        port: u16 = "6379", Number { min: 1, max: u16::MAX };
        /// local image tar, as `docker save` writes it, for hosts that reach no registry
        image_archive: Option<PathBuf> = "null", Optional(Local::FILE);
    }
}

const DOCKER_NAME: Text<String> = Text {
    expected: "a name that Docker takes (letters, digits and `_.-`)",
    pattern: patterns::DOCKER_NAME,
    check: check::docker_name,
};

impl Variable for Redis {
    const NAME: &'static str = "redis";
    const DOC: &'static str = "the Redis container; `null` leaves it out";
    const IS_COMMON: bool = true;
    const NULL_TAKES_AWAY: bool = true;
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::checked(has_a_port_of_its_own);

    /// The port by which this session comes in is not for another service.
    fn check(&self, _: &Vars, reader: &mut Reader<'_>) {
        if reader.ssh_port() == Some(self.port) && self.port != SSH_PORT {
            reader.refuse_path(["redis.port"; 2], taken(self.port, "ssh"), FREE);
        }
    }
}

fn has_a_port_of_its_own(redis: &Redis, reader: &mut Reader<'_>, fields: &Fields<'_>) -> bool {
    let Some(holder) = holder_of(redis.port) else { return true };
    let field = fields.optional("port");
    let refused = field.and_then(|field| reader.refuse(&field, taken(redis.port, holder), FREE));
    refused.unwrap_or(false)
}

const FREE: &str = "choose a free port, such as 6379";

fn taken(port: u16, holder: &str) -> String {
    format!("`redis.port` cannot be {port}: that port is {holder}'s")
}
