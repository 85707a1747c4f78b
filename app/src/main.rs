//! The API behind `/flask/`: read the settings, then serve until told to stop.

use std::process::ExitCode;

use flask_app::{serve, settings::Settings};

const USAGE: &str = "\
the API behind /flask/

usage: flask-app [--check | --version | --help]

  --check    read the settings, say whether they are good, and exit
  --version  print the version and exit

Settings are environment variables:
  SECRET_KEY  signs tokens, at least 32 bytes; the credential `secret-key` goes first
  SECRET_KEY_ALSO
              another key whose tokens are taken as well
  API_USERS   NAME:HASH entries separated by spaces, argon2id in PHC form;
              in single quotes where a shell or systemd reads them from a file
  REDIS_URL   redis://[:PASSWORD@]HOST:PORT/DB          [redis://127.0.0.1:6379/0]
  REDIS_SOCKET
              Redis's unix socket; goes before the host and port of REDIS_URL
  TOKEN_TTL   seconds that a token holds                [3600]
  WORKERS     threads that serve, or `auto`             [auto: the number of CPUs]
  LOG_LEVEL   error, warn, info or debug                [info]
  SOCKET      where to listen when systemd hands over no socket (LISTEN_FDS)
                                                        [/run/gunicorn/flask.sock]
Exit status: 0 told to stop, or good; 1 failed, or not good with --check; 2 bad settings.
";

/// What a wrong setting or argument exits with, so that systemd need not try again.
const BAD_SETTING: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(),
        ["--check"] => check(),
        ["--version" | "-V"] => {
            println!("flask-app {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ["--help" | "-h"] => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("flask-app: unknown arguments\n\n{USAGE}");
            ExitCode::from(BAD_SETTING)
        }
    }
}

fn check() -> ExitCode {
    match Settings::from_environment() {
        Ok(settings) => {
            println!("flask-app: the settings are good: {}", settings.summary());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("flask-app: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> ExitCode {
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("flask-app: {error}");
            return ExitCode::from(BAD_SETTING);
        }
    };
    match serve::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flask-app: {error:#}");
            ExitCode::FAILURE
        }
    }
}
