//! hwctl with its own kinds of parts.

use std::process::ExitCode;

use hwctl::part::Kinds;

fn main() -> ExitCode {
    hwctl::run(Kinds::builtin())
}
