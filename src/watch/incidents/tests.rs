use super::*;

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
/// Some moment.
const NOON: i64 = 1_800_000_000;

/// A host that is looked at with a clock of the test's.
#[derive(Default)]
struct Watched {
    incidents: Incidents,
    minute: i64,
}

impl Watched {
    /// Looks a minute later; what is told.
    fn look(&mut self, seen: &[Fault]) -> Vec<(MessageState, String)> {
        self.look_after(1, seen)
    }

    fn look_after(&mut self, minutes: i64, seen: &[Fault]) -> Vec<(MessageState, String)> {
        let told = self.messages_after(minutes, seen).into_iter();
        told.map(|message| (message.state, message.summary)).collect()
    }

    fn messages_after(&mut self, minutes: i64, seen: &[Fault]) -> Vec<Message> {
        self.minute += minutes;
        let now = NOON + self.minute * MINUTE;
        // What is remembered is kept between looks.
        let kept = serde_json::to_string(&self.incidents).unwrap();
        self.incidents = serde_json::from_str(&kept).unwrap();
        self.incidents.take_in("vm1", seen, now, Rules::new(60, 86_400))
    }
}

fn cause(id: &str) -> Fault {
    Fault {
        id: id.to_owned(),
        summary: format!("{id} is broken"),
        details: vec![format!("{id} says so")],
        next: format!("mend {id}"),
        is_symptom: false,
        began: None,
    }
}

fn symptom(id: &str) -> Fault {
    Fault { is_symptom: true, ..cause(id) }
}

fn fault(id: &str) -> (MessageState, String) {
    (MessageState::Fault, format!("{id} is broken"))
}

fn recovered(id: &str) -> (MessageState, String) {
    (MessageState::Recovered, format!("{id} is broken"))
}

fn flapping(id: &str) -> (MessageState, String) {
    (MessageState::Fault, format!("flapping: {id} is broken"))
}

#[test]
fn a_healthy_host_is_not_told_of() {
    let mut host = Watched::default();
    for _ in 0..60 {
        assert_eq!(host.look(&[]), []);
    }
    assert_eq!(host.incidents, Incidents::default(), "nothing piles up");
}

#[test]
fn a_fault_is_told_once_and_its_end_once_it_stays_away() {
    let mut host = Watched::default();
    assert_eq!(host.look(&[cause("redis")]), [fault("redis")]);
    for _ in 0..10 {
        assert_eq!(host.look(&[cause("redis")]), []);
    }
    assert!(host.incidents.is_open("redis"));

    assert_eq!(host.look(&[]), [], "it may come back");
    assert_eq!(host.look(&[]), []);
    let told = host.messages_after(1, &[]);

    assert_eq!(told.len(), 1);
    assert_eq!((told[0].state, told[0].id.as_str()), (MessageState::Recovered, "redis"));
    assert_eq!(
        (told[0].details.join(""), told[0].next.as_str()),
        ("It lasted 11 min.".to_owned(), "")
    );
    assert_eq!(told[0].since, NOON + MINUTE);
    assert_eq!(host.look(&[]), []);
}

#[test]
fn a_message_names_the_cause_first_and_all_that_may_follow() {
    let mut host = Watched::default();
    let seen = [cause("redis"), cause("api"), symptom("page")];

    let told = host.messages_after(1, &seen);

    let [message] = told.as_slice() else { panic!("one message: {told:#?}") };
    assert_eq!(message.summary, "redis is broken");
    assert_eq!(message.next, "mend redis");
    let expected = ["redis says so", "also: api is broken", "also: page is broken"];
    assert_eq!(message.details, expected);
    // All of it ends as one.
    assert_eq!(host.look(&[]), []);
    assert_eq!(host.look_after(2, &[]), [recovered("redis")]);
}

#[test]
fn a_check_that_fails_soon_after_is_a_consequence() {
    let mut host = Watched::default();
    assert_eq!(host.look(&[cause("redis")]), [fault("redis")]);
    assert_eq!(host.look(&[cause("redis"), symptom("page")]), []);
    assert_eq!(
        host.look_after(10, &[cause("redis"), symptom("page"), symptom("backup")]),
        [fault("backup")]
    );
    assert_eq!(host.look(&[cause("redis"), cause("disk")]), [fault("disk")], "a cause is told");
}

#[test]
fn what_outlives_its_cause_is_told() {
    let mut host = Watched::default();
    assert_eq!(host.look(&[cause("redis"), symptom("page")]), [fault("redis")]);
    assert_eq!(host.look(&[symptom("page")]), []);

    assert_eq!(host.look_after(2, &[symptom("page")]), [recovered("redis"), fault("page")]);

    assert_eq!(host.look(&[]), []);
    assert_eq!(host.look_after(2, &[]), [recovered("page")]);
}

#[test]
fn a_reminder_comes_each_day() {
    let mut host = Watched::default();
    assert_eq!(host.look(&[cause("disk")]), [fault("disk")]);
    let day = DAY / MINUTE;
    assert_eq!(host.look_after(day - 1, &[cause("disk")]), []);

    let told = host.messages_after(1, &[cause("disk"), symptom("page")]);

    let told: Vec<_> =
        told.iter().map(|message| (message.state, message.details.join("; "))).collect();
    assert_eq!(
        told,
        [
            (MessageState::Fault, "page says so".to_owned()),
            (MessageState::Reminder, "It has lasted 1 d 0 h.; disk says so".to_owned()),
        ]
    );
    assert_eq!(host.look_after(1, &[cause("disk"), symptom("page")]), []);
    let due = host.look_after(day, &[cause("disk"), symptom("page")]);
    assert_eq!(due.len(), 2, "{due:?}");
    assert!(due.iter().all(|(state, _)| *state == MessageState::Reminder));
    // What is over soon is not reminded of.
    assert_eq!(host.look_after(day, &[]), []);
}

#[test]
fn a_fault_that_comes_and_goes_is_told_as_such_once() {
    let mut host = Watched::default();
    assert_eq!(host.look(&[cause("app")]), [fault("app")]);
    assert_eq!(host.look(&[]), []);
    assert_eq!(host.look(&[cause("app")]), [], "it was not away for long");
    assert_eq!(host.look(&[]), []);
    assert_eq!(host.look(&[cause("app")]), [flapping("app")]);
    for _ in 0..20 {
        assert_eq!(host.look(&[]), []);
        assert_eq!(host.look(&[cause("app")]), []);
    }

    for _ in 0..30 {
        assert_eq!(host.look(&[]), []);
    }
    assert_eq!(host.look(&[]), [recovered("app")]);
    assert_eq!(host.look(&[cause("app")]), [fault("app")], "all is forgiven");
}

#[test]
fn a_fault_that_recovers_in_between_comes_and_goes_too() {
    let mut host = Watched::default();
    for told in [fault("app"), fault("app")] {
        assert_eq!(host.look(&[cause("app")]), [told]);
        assert_eq!(host.look(&[]), []);
        assert_eq!(host.look_after(2, &[]), [recovered("app")]);
    }
    assert_eq!(host.look(&[cause("app")]), [flapping("app")]);
    // Seldom is not often.
    let mut host = Watched::default();
    for _ in 0..5 {
        assert_eq!(host.look_after(40, &[cause("app")]), [fault("app")]);
        assert_eq!(host.look(&[]), []);
        assert_eq!(host.look_after(2, &[]), [recovered("app")]);
    }
}

#[test]
fn the_consequences_of_a_flapping_fault_stay_quiet() {
    let mut host = Watched::default();
    let all = [cause("app"), symptom("page")];
    assert_eq!(host.look(&all), [fault("app")]);
    assert_eq!(host.look(&[]), []);
    assert_eq!(host.look(&all), []);
    assert_eq!(host.look(&[]), []);
    assert_eq!(host.look(&all), [flapping("app")]);
    for _ in 0..10 {
        assert_eq!(host.look(&[]), []);
        assert_eq!(host.look(&all), []);
    }
}

#[test]
fn messages_beyond_the_limit_wait_and_none_is_lost() {
    let mut host = Watched::default();
    let mut told = Vec::new();
    let mut seen = Vec::new();
    for number in 0..30 {
        seen.push(cause(&format!("fault{number:02}")));
        told.extend(host.messages_after(1, &seen));
    }
    assert_eq!(told.len(), MAX_PER_HOUR);
    assert!(told[MAX_PER_HOUR - 1].details.last().unwrap().contains("further ones wait"));
    assert!(!told[MAX_PER_HOUR - 2].details.last().unwrap().contains("further ones wait"));

    let later = host.messages_after(60, &seen);

    assert_eq!(later.len(), 1, "what waited comes as one: {later:#?}");
    assert_eq!(later[0].summary, "fault20 is broken");
    assert_eq!(later[0].details.iter().filter(|line| line.starts_with("also: ")).count(), 9);
}

#[test]
fn the_end_of_a_fault_waits_too() {
    let mut host = Watched::default();
    let faults: Vec<_> = (0..20).map(|number| cause(&format!("fault{number:02}"))).collect();
    for count in 1..=20 {
        host.look(&faults[..count]);
    }
    assert_eq!(host.look(&[]), []);
    assert_eq!(host.look_after(5, &[]), [], "twenty messages are out");

    let ended = host.look_after(60, &[]);

    assert_eq!(ended.len(), 20);
    assert!(ended.iter().all(|(state, _)| *state == MessageState::Recovered));
}

#[test]
fn a_clock_that_goes_back_stops_nothing() {
    let mut host = Watched::default();
    assert_eq!(host.look(&[cause("app")]), [fault("app")]);
    assert_eq!(host.look_after(-60 * 24, &[]), []);
    assert_eq!(host.look_after(5, &[]), [recovered("app")]);
}

#[test]
fn an_alert_that_takes_its_time_follows_from_the_cause_that_was_told_when_it_began() {
    let mut host = Watched::default();
    let alert = |began: i64| Fault { began: Some(NOON + began * MINUTE), ..symptom("alert") };
    assert_eq!(host.look(&[cause("redis")]), [fault("redis")]);

    assert_eq!(host.look_after(9, &[cause("redis"), alert(2)]), [], "it waited for its time");
    assert_eq!(host.look_after(3, &[alert(2)]), [], "redis is back");
    assert_eq!(host.look_after(3, &[alert(2)]), [recovered("redis"), fault("alert")]);
    assert_eq!(host.look_after(3, &[]), []);
    assert_eq!(host.look_after(3, &[]), [recovered("alert")]);
}

#[test]
fn an_alert_that_began_at_another_time_than_a_cause_is_told() {
    let mut host = Watched::default();
    let alert = |began: i64| Fault { began: Some(NOON + began * MINUTE), ..symptom("alert") };
    assert_eq!(host.look(&[cause("redis")]), [fault("redis")]);

    assert_eq!(host.look(&[cause("redis"), alert(-30)]), [fault("alert")]);
}
