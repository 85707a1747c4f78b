//! `hwctl engine`: serves one session on the host; and `hwctl look`, its part in trying a configuration of
//! nginx. Not for people.

use anyhow::Result;
use rustix::fs::Mode;

use crate::bundle;
use crate::engine;
use crate::failure::Exit;
use crate::part::Kinds;

/// Serves one session on standard input and output.
pub fn run(kinds: Kinds, connection: Option<&str>) -> Result<Exit> {
    // What packages and Docker make on this host does not depend on the operator's login.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
    let connection = connection.unwrap_or_default();
    let serving = engine::serve(input, output, connection, bundle::API, kinds.drivers());
    let served = runtime.block_on(serving);
    // A read of standard input that is under way would be waited for.
    runtime.shutdown_background();
    served.map(|()| Exit::Done)
}

/// Looks at the second nginx of the engine, from within its network.
pub fn check_second_instance() -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let looked =
        runtime.block_on(engine::check_second_instance(tokio::io::stdin(), tokio::io::stdout()));
    runtime.shutdown_background();
    looked.map(|()| Exit::Done)
}
