//! Parses the command line, runs the verb, prints the error, sets the exit code.

fn main() {}
