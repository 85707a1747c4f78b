//! hwctl with one kind of part more: a greeter behind nginx. It shows how a part is added from outside of hwctl.

mod part;

use std::process::ExitCode;

use hwctl::part::Kinds;

fn main() -> ExitCode {
    hwctl::run(Kinds::builtin().with(part::KIND))
}
