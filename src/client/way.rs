//! Ways by which a client comes to the ports of a host.

use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;

/// The way to a host.
#[derive(Clone, Debug)]
pub enum Way {
    /// A connection of one's own.
    Direct {
        /// The host's address.
        to: IpAddr,
        /// The address to come from; the system's choice when absent.
        from: Option<IpAddr>,
    },
    /// The input and output of a program that connects.
    Program(Program),
}

/// A program whose input and output are a connection, such as `ssh -W`.
#[derive(Clone, Debug)]
pub struct Program {
    words: Vec<String>,
}

impl Program {
    /// The program and its arguments, in which `{port}` stands for the port.
    #[must_use]
    pub fn new(words: Vec<String>) -> Self {
        Self { words }
    }

    /// The words for one port.
    #[must_use]
    pub fn words(&self, port: u16) -> Vec<String> {
        self.words.iter().map(|word| word.replace("{port}", &port.to_string())).collect()
    }

    fn open(&self, port: u16) -> Result<Box<dyn Stream>> {
        let words = self.words(port);
        let (name, arguments) = words.split_first().context("there is no program")?;
        let mut child = tokio::process::Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("run `{name}`"))?;
        let (output, input) = (child.stdout.take(), child.stdin.take());
        let (output, input) = (output.context("its output")?, input.context("its input")?);
        // It ends with its input and output; who waits for it keeps it from staying as a zombie.
        tokio::spawn(async move { child.wait().await });
        Ok(Box::new(tokio::io::join(output, input)))
    }
}

/// A connection to a port.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl From<IpAddr> for Way {
    fn from(to: IpAddr) -> Self {
        Self::Direct { to, from: None }
    }
}

impl Way {
    /// Whether it leads to the machine that it starts from.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self, Self::Direct { to, .. } if to.is_loopback())
    }

    /// Connects to a TCP port. Only by a direct way does this tell that the port is open.
    pub async fn open(&self, port: u16) -> Result<Box<dyn Stream>> {
        let (to, from) = match self {
            Self::Direct { to, from } => (*to, *from),
            Self::Program(program) => return program.open(port),
        };
        let socket = match to {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        Ok(Box::new(socket.connect(SocketAddr::new(to, port)).await?))
    }
}
