//! What gets the messages of a watched host: a server of HTTP and one of mail, on this machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

/// A request of HTTP.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    pub(super) method: String,
    pub(super) path: String,
    /// Names in small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// A mail as it came: who sent it to whom, and its text.
#[derive(Clone, Debug, Default)]
pub(super) struct Mail {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) text: String,
}

/// The servers. They end with the process.
pub(super) struct Receiver {
    http_port: u16,
    smtp_port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_away: AtomicBool,
    status: AtomicU16,
    received: Mutex<Vec<Received>>,
    mails: Mutex<Vec<Mail>>,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let state = Arc::new(State::default());
        state.status.store(200, Ordering::SeqCst);
        let http_port = serve(Arc::clone(&state), |stream, state| {
            let request = read_request(&stream)?;
            state.received.lock().unwrap().push(request);
            let status = state.status.load(Ordering::SeqCst);
            let answer =
                format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            (&stream).write_all(answer.as_bytes())
        });
        let smtp_port = serve(Arc::clone(&state), |stream, state| {
            let mail = take_mail(&stream)?;
            state.mails.lock().unwrap().extend(mail);
            Ok(())
        });
        Self { http_port, smtp_port, state }
    }

    /// Closes each connection without an answer, until it is back.
    pub(super) fn be_away(&self, is_away: bool) {
        self.state.is_away.store(is_away, Ordering::SeqCst);
    }

    /// Answers so from now on.
    pub(super) fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    pub(super) fn http_port(&self) -> u16 {
        self.http_port
    }

    pub(super) fn smtp_port(&self) -> u16 {
        self.smtp_port
    }

    /// The requests since the last time.
    pub(super) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.state.received.lock().unwrap())
    }

    /// The mails since the last time.
    pub(super) fn take_mails(&self) -> Vec<Mail> {
        std::mem::take(&mut *self.state.mails.lock().unwrap())
    }
}

fn serve(
    state: Arc<State>,
    answer: impl Fn(TcpStream, &State) -> std::io::Result<()> + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if !state.is_away.load(Ordering::SeqCst) {
                // A client that goes away is no concern of the others.
                let _ = answer(stream, &state);
            }
        }
    });
    port
}

fn read_request(stream: &TcpStream) -> std::io::Result<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }
    let mut request = Received { method, path, headers, body: String::new() };
    let mut body = vec![0; request.header("content-length").parse().unwrap_or_default()];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8(body).expect("text");
    Ok(request)
}

/// One mail, as RFC 5321 has it.
fn take_mail(mut stream: &TcpStream) -> std::io::Result<Option<Mail>> {
    stream.write_all(b"220 lab ESMTP\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut mail = Mail::default();
    let mut line = String::new();
    let mut taken = None;
    while reader.read_line(&mut line)? > 0 {
        let (command, rest) = (line.trim().to_uppercase(), line.trim().to_owned());
        line.clear();
        let address = || {
            let (_, rest) = rest.split_once('<').unwrap_or_default();
            rest.split('>').next().unwrap_or_default().to_owned()
        };
        let answer = match command.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" | "HELO" => "250 lab",
            "MAIL" => {
                mail.from = address();
                "250 ok"
            }
            "RCPT" if command.contains("NOBODY") => "550 no such user",
            "RCPT" => {
                mail.to.push(address());
                "250 ok"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                while !mail.text.ends_with("\r\n.\r\n") && reader.read_line(&mut mail.text)? > 0 {}
                taken = Some(std::mem::take(&mut mail));
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "502 unknown",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
        if command == "QUIT" {
            break;
        }
    }
    Ok(taken)
}
