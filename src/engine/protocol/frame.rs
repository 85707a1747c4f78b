//! Frames on a stream: a big-endian `u32` length, then that many bytes of `MessagePack`, deflated where the
//! length's first bit is set.

use std::io::Read as _;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::CLIENT_GREETING;
use super::elements;
use crate::resource::{decode, encode};

/// The longest frame, in bytes: a larger one is a broken or hostile stream.
pub const MAX_FRAME: u32 = 32 << 20;
/// The bit of a frame's length that says that it is deflated.
const DEFLATED: u32 = 1 << 31;
/// A shorter message travels in one packet anyway.
const WORTH_DEFLATING: usize = 1200;

/// Reads up to the greeting of the operator's side, passing over the little that may come before.
pub async fn skip_to_greeting(input: &mut (impl AsyncBufReadExt + Unpin)) -> Result<()> {
    for _ in 0..3 {
        let mut line = Vec::new();
        let mut bounded = (&mut *input).take(4096);
        bounded.read_until(b'\n', &mut line).await?;
        if line.ends_with(b"\n") && line.trim_ascii() == CLIENT_GREETING.as_bytes() {
            return Ok(());
        }
    }
    bail!("the other end is not hwctl")
}

/// Writes one frame and flushes it.
pub async fn write_frame<T: Serialize>(
    output: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<()> {
    write_frames(output, std::slice::from_ref(message)).await
}

/// Writes a frame for each message, and flushes them together.
pub async fn write_frames<T: Serialize>(
    output: &mut (impl AsyncWrite + Unpin),
    messages: &[T],
) -> Result<()> {
    let mut frames = Vec::new();
    for message in messages {
        append_frame(&mut frames, message)?;
    }
    output.write_all(&frames).await?;
    output.flush().await?;
    Ok(())
}

fn append_frame<T: Serialize>(frames: &mut Vec<u8>, message: &T) -> Result<()> {
    let bytes = encode(message)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MAX_FRAME);
    let length = length.with_context(|| {
        format!("a message of {} bytes is longer than a frame may be", bytes.len())
    })?;
    let (length, bytes) = match deflated(&bytes)? {
        Some(small) => (u32::try_from(small.len())? | DEFLATED, small),
        None => (length, bytes),
    };
    frames.extend_from_slice(&length.to_be_bytes());
    frames.extend_from_slice(&bytes);
    Ok(())
}

/// The bytes deflated, where that makes them much fewer: a new connection has room for few.
fn deflated(bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    if bytes.len() < WORTH_DEFLATING {
        return Ok(None);
    }
    let mut small = Vec::new();
    DeflateEncoder::new(bytes, Compression::fast()).read_to_end(&mut small)?;
    Ok((small.len() < bytes.len() / 4 * 3).then_some(small))
}

fn inflated(small: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::from(MAX_FRAME);
    DeflateDecoder::new(small).take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        bail!("a frame of more than {MAX_FRAME} bytes: the stream is broken");
    }
    Ok(bytes)
}

/// Reads one frame; `None` at the end of the stream between frames.
pub async fn read_frame<T: DeserializeOwned>(
    input: &mut (impl AsyncRead + Unpin),
) -> Result<Option<T>> {
    let mut length = [0; 4];
    if input.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut length[1..]).await.context("the stream ends within a frame")?;
    let length = u32::from_be_bytes(length);
    let (is_deflated, length) = (length & DEFLATED != 0, length & !DEFLATED);
    if length > MAX_FRAME {
        bail!("a frame of {length} bytes is longer than {MAX_FRAME}: the stream is broken");
    }
    let mut bytes = Vec::new();
    input.take(length.into()).read_to_end(&mut bytes).await?;
    if bytes.len() != length as usize {
        bail!("the stream ends within a frame");
    }
    if is_deflated {
        bytes = inflated(&bytes).context("a frame that cannot be inflated")?;
    }
    elements::require_few(&bytes)?;
    decode(&bytes).context("a frame that makes no sense").map(Some)
}

#[cfg(test)]
mod tests;
