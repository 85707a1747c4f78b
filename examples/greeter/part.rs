//! The greeter: a small service that answers `/greeter/` with the text of a file.

use hwctl::inventory::schema::{Declared, Map, Text, Variable};
use hwctl::part::{
    Builder, Contributions, HostView, PartKind, Parts, Role, Route, RouteTarget, Upstream, page,
    question,
};
use hwctl::resource::{Content, File, Id, OnChange, Owner, Unit};
use hwctl::spec::{Log, LogFormat, LogSource, PartSpec, Probe, Restart, RestartMethod};

pub(crate) const KIND: PartKind = PartKind {
    name: "greeter",
    roles: &[Role::Web],
    parts: Parts::One,
    vars: &[Declared::of::<Greeter>()],
    takes: &[],
    driver: None,
    contribute,
    describe,
    declare: |_, builder| {
        declare(builder);
        Ok(())
    },
};

hwctl::vars! {
    /// The greeter.
    pub(crate) struct Greeter {
        /// what the greeter says before the name of the host
        greeting: String = "Hello from", Text { expected: "one line of text", pattern: r"[^\u0000-\u001f\u007f-\u009f]+", check: line };
    }
}

impl Variable for Greeter {
    const NAME: &'static str = "greeter";
    const DOC: &'static str = "the greeter at `/greeter/`";
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::new();
}

fn line(text: &str) -> Option<String> {
    let fits = !text.is_empty() && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

const SOCKET: &str = "greeter.socket";
const SERVICE: &str = "greeter.service";
const FOLDER: &str = "/usr/local/lib/greeter";

/// nginx gets the route, and needs to know no more of the greeter.
fn contribute(_: &HostView<'_>, offered: &mut Contributions) {
    let target = RouteTarget::Application(Upstream::at("unix:/run/greeter.sock"));
    offered.add_route(Route::new("greeter", "/greeter", target), None);
}

fn describe(view: &HostView<'_>, _: &Contributions, spec: &mut PartSpec) {
    let log = LogSource::Unit(SERVICE.to_owned());
    spec.probes = vec![Probe::unit(SOCKET), Probe::unit(SERVICE), page("/greeter/")];
    spec.questions = vec![question("/greeter/", 200, Some(&view.vars.get::<Greeter>().greeting))];
    spec.logs =
        vec![Log { name: "greeter".to_owned(), source: log.clone(), format: LogFormat::Plain }];
    spec.restarts = vec![Restart {
        name: "greeter".to_owned(),
        label: SERVICE.to_owned(),
        method: RestartMethod::Unit(SERVICE.to_owned()),
        in_all: true,
        log,
    }];
}

fn declare(builder: &mut Builder<'_>) {
    builder.directory(FOLDER, 0o755);
    // The service reads it for each answer, so a new greeting restarts nothing.
    let Greeter { greeting } = builder.vars.get();
    let greeting = format!("{greeting} {}\n", builder.facts.hostname);
    builder.add(File::text(format!("{FOLDER}/greeting.txt"), greeting));
    let program = builder.add(File::new(
        format!("{FOLDER}/greeter.pl"),
        Content::text(include_str!("greeter.pl")),
        0o755,
        Owner::root(),
    ));
    let socket = unit_file(builder, SOCKET, include_str!("greeter.socket"));
    let service = unit_file(builder, SERVICE, include_str!("greeter.service"));
    // The socket first: what comes while the service restarts waits in it.
    builder.add(unit(SOCKET, vec![socket]));
    builder.add(unit(SERVICE, vec![service, program]));
}

fn unit_file(builder: &mut Builder<'_>, name: &str, text: &str) -> Id {
    builder.add(File::text(format!("/etc/systemd/system/{name}"), text))
}

fn unit(name: &str, inputs: Vec<Id>) -> Unit {
    Unit::new(name, inputs, OnChange::Restart)
}
