//! On the host itself: a run without an operator's side, as a timer starts it.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;

use anyhow::{Result, bail};
use tokio::io::{AsyncWriteExt as _, WriteHalf, split};
use tokio::io::{BufReader, DuplexStream, ReadHalf};

use super::run::run_info;
use crate::client::served;
use crate::engine;
use crate::engine::protocol::{
    CLIENT_GREETING, CONFIRM_TIMEOUT_S, ENGINE_GREETING, Goal, HEARTBEAT, PlanRequest, Reply,
    Request, read_frame, write_frame,
};
use crate::event::What;
use crate::failure::{Exit, Failure};
use crate::part;
use crate::part::{HTTPS, endpoints, https};
use crate::report::print;

/// How long another run is waited for, in seconds.
const PATIENCE_S: u64 = 300;

/// Brings this host to `goal` as a run, and looks at what nginx serves before it is kept.
pub(super) fn renew(goal: Goal) -> Result<Exit> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::usage("`--here` is for root on the host itself")
            .hint("leave it out to renew the certificates of the inventory's hosts")
            .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(64 << 10);
        let (input, output) = split(far);
        let serving = engine::serve(input, output, "", None, part::DRIVERS);
        let (served, ran) =
            tokio::join!(serving, async { Line::open(near).await?.run(goal).await });
        let exit = ran?;
        served.map(|()| exit)
    })
}

/// The other end of the engine of this process.
struct Line {
    input: BufReader<ReadHalf<DuplexStream>>,
    output: WriteHalf<DuplexStream>,
}

impl Line {
    async fn open(stream: DuplexStream) -> Result<Self> {
        use tokio::io::AsyncBufReadExt as _;

        let (input, mut output) = split(stream);
        output.write_all(format!("{CLIENT_GREETING}\n").as_bytes()).await?;
        let mut input = BufReader::new(input);
        let mut greeting = String::new();
        input.read_line(&mut greeting).await?;
        if greeting.trim_end() != ENGINE_GREETING {
            bail!("the engine does not greet");
        }
        let mut line = Self { input, output };
        match line.answer().await? {
            Reply::Hello { .. } => Ok(line),
            _ => bail!("the engine gives a wrong answer"),
        }
    }

    async fn run(mut self, goal: Goal) -> Result<Exit> {
        let request = PlanRequest {
            goal,
            run: Some(run_info("cert renew")),
            patience_s: PATIENCE_S,
            keep_on_failure: false,
            confirm_timeout_s: CONFIRM_TIMEOUT_S,
            endpoints: endpoints(),
            outside: None,
        };
        let Reply::Plan { changes, fingerprint, .. } = self.ask(&Request::Plan(request)).await?
        else {
            bail!("the engine gives no plan");
        };
        if changes.is_empty() {
            print("nothing to do");
            return Ok(Exit::Done);
        }
        for planned in &changes {
            print(&format!("{:?} {}", planned.change.action, planned.change.id));
        }
        let applied = self.ask(&Request::Apply { fingerprint }).await?;
        let Reply::Applied { pins } = applied else { bail!("the engine does not apply") };
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let wrong = match served(&loopback.into(), &https(), "127.0.0.1").await {
            Ok(served) if pins.of(HTTPS) == Some(&served) => None,
            Ok(served) => Some(format!("it serves another one (SHA-256 {served})")),
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(why) = wrong {
            self.ask(&Request::Undo { why: why.clone() }).await?;
            return Err(Failure::new(Exit::Undone, "nginx does not serve the new certificate")
                .why(why)
                .hint("`journalctl -u nginx` has more; the old certificate is in its place again")
                .into());
        }
        self.ask(&Request::Keep).await?;
        print("the new certificate is served");
        Ok(Exit::Done)
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply> {
        write_frame(&mut self.output, request).await?;
        self.answer().await
    }

    /// The next answer; what happens on the way to it is told as lines.
    async fn answer(&mut self) -> Result<Reply> {
        loop {
            let reply = {
                let mut reading = pin!(read_frame::<Reply>(&mut self.input));
                loop {
                    tokio::select! {
                        reply = &mut reading => break reply?,
                        () = tokio::time::sleep(HEARTBEAT) => {
                            write_frame(&mut self.output, &Request::Alive).await?;
                        }
                    }
                }
            };
            match reply {
                Some(Reply::Event(What::Warning { message } | What::Step { message, .. })) => {
                    print(&message);
                }
                Some(Reply::Event(_) | Reply::Alive) => {}
                Some(Reply::Failed { failure }) => return Err(failure.into()),
                Some(reply) => return Ok(reply),
                None => bail!("the engine ends before the run does"),
            }
        }
    }
}
