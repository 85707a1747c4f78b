//! What apt says that it would do. It is asked once for each state of its tables: an answer takes it seconds
//! on a small host.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;

use super::apt::apt_command;
use super::table::{TableVersion, table_version};
use crate::resource::host::{Host, last_lines};

/// The package lists that apt has fetched.
const LISTS: &str = "/var/lib/apt/lists";

/// dpkg's table, apt's lists, and what was asked.
type Question = (TableVersion, Option<SystemTime>, String);
type Answers = RefCell<HashMap<Question, Answer>>;

/// The lines that apt printed, or the last ones of its errors.
type Answer = Result<String, String>;

/// Simulates `apt-get` with these arguments.
pub(super) async fn simulate<I>(host: &Host, args: I) -> Result<Answer>
where
    I: IntoIterator<Item: AsRef<str>>,
{
    let args: Vec<String> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
    let lists = std::fs::metadata(host.path(Path::new(LISTS)));
    let fetched = lists.and_then(|lists| lists.modified()).ok();
    let question = (table_version(host)?, fetched, args.join(" "));
    if let Some(known) = host.cached::<Answers>().borrow().get(&question) {
        return Ok(known.clone());
    }
    let output = apt_command(host, "apt-get").args(["-s", "-q", "-y"]).args(&args).output().await?;
    let answer = match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(last_lines(&output, 3)),
    };
    host.cached::<Answers>().borrow_mut().insert(question, answer.clone());
    Ok(answer)
}
