//! The API behind `/flask/`.

fn main() {}
