//! Frames come through, and broken ones are errors.

use std::time::{Duration, Instant};

use super::*;
use crate::engine::protocol::*;
use crate::event::Planned;
use crate::resource::Id;

/// A frame of these bytes.
fn frame(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

async fn refusal<T: DeserializeOwned>(stream: &[u8]) -> String {
    let Err(error) = read_frame::<T>(&mut &stream[..]).await else {
        panic!("{:?} is taken", &stream[..stream.len().min(64)]);
    };
    format!("{error:#}")
}

#[tokio::test]
async fn frames_come_through_and_broken_ones_are_errors() {
    let mut stream = Vec::new();
    write_frame(&mut stream, &Request::Keep).await.unwrap();
    let whole = stream.clone();
    let read: Option<Request> = read_frame(&mut &stream[..]).await.unwrap();
    assert!(matches!(read, Some(Request::Keep)));
    assert!(read_frame::<Request>(&mut &whole[..0]).await.unwrap().is_none());
    for cut in 1..whole.len() {
        assert!(read_frame::<Request>(&mut &whole[..cut]).await.is_err(), "cut at {cut}");
    }
    let error = refusal::<Request>(&[0xff, 0xff, 0xff, 0xff, 0]).await;
    assert!(error.contains("longer than"), "{error}");
    let more = frame(&[&whole[4..], &[0xc0]].concat());
    let error = refusal::<Request>(&more).await;
    assert!(error.contains("1 bytes follow the message"), "{error}");
}

#[tokio::test]
async fn long_frames_travel_deflated_and_a_bomb_is_refused() {
    let lines = vec!["server_name example.org;".to_owned(); 10_000];
    let mut stream = Vec::new();
    write_frame(&mut stream, &Reply::Lines(lines.clone())).await.unwrap();
    assert!(stream.len() < 10_000, "{}", stream.len());
    let read: Option<Reply> = read_frame(&mut &stream[..]).await.unwrap();
    assert!(matches!(read, Some(Reply::Lines(read)) if read == lines));
    for cut in [stream.len() - 1, stream.len() / 2] {
        assert!(read_frame::<Reply>(&mut &stream[..cut]).await.is_err(), "cut at {cut}");
    }

    let deflated = |small: &[u8]| {
        let length = u32::try_from(small.len()).unwrap() | DEFLATED;
        [&length.to_be_bytes(), small].concat()
    };
    let mut bomb = Vec::new();
    let zeros = vec![0; MAX_FRAME as usize + 1];
    DeflateEncoder::new(&zeros[..], Compression::best()).read_to_end(&mut bomb).unwrap();
    let error = refusal::<Reply>(&deflated(&bomb)).await;
    assert!(error.contains("a frame of more than"), "{error}");
    let error = refusal::<Reply>(&deflated(b"\xff\xff\xff")).await;
    assert!(error.contains("cannot be inflated"), "{error}");
}

/// A test's stack is as small as those that hwctl decodes on.
#[tokio::test]
async fn deep_nesting_is_refused_and_needs_no_stack() {
    // A message's name, then an unknown field, or one whose content is held back: both take
    // what the stream has.
    let heads: [&[u8]; 4] =
        [b"", b"\x81\xa4Plan\x81\xa1x", b"\x81\xa5Event\x81\xa5event", b"\x81\xa5Event\x81\xa1x"];
    for head in heads {
        for nested in [&b"\x91"[..], b"\x81\xa1x", b"\x81"] {
            let stream = frame(&[head, &nested.repeat(1 << 20)].concat());
            refusal::<Request>(&stream).await;
            refusal::<Reply>(&stream).await;
        }
    }
}

#[tokio::test]
async fn a_length_alone_takes_no_memory() {
    let start = Instant::now();
    let heads: [&[u8]; 5] = [
        b"\x81\xa4Plan\x81\xa8declared",
        b"\x81\xa4Plan\x81\xa3run",
        b"\x81\xa5Chunk\x81\xa5bytes",
        b"\x81\xa5Lines",
        b"\x81\xa5Event\x81\xa5event",
    ];
    for head in heads {
        // An array, a map, bytes and text of four thousand millions.
        for long in [0xdd, 0xdf, 0xc6, 0xdb] {
            let stream = frame(&[head, &[long, 0xff, 0xff, 0xff, 0xff]].concat());
            refusal::<Request>(&stream).await;
            refusal::<Reply>(&stream).await;
        }
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_greeting_may_come_a_little_late() {
    let late = format!("a password\n{CLIENT_GREETING}\nrest");
    let mut stream = late.as_bytes();
    skip_to_greeting(&mut stream).await.unwrap();
    assert_eq!(stream, b"rest");
    let noise = vec![b'x'; 1 << 20];
    for stranger in [&b""[..], b"GET / HTTP/1.1\r\n\r\n\r\n", &noise] {
        assert!(skip_to_greeting(&mut &stranger[..]).await.is_err());
    }
}

#[tokio::test]
async fn a_short_frame_of_many_values_is_refused() {
    let count = 30_u32 << 20;
    let mut message = b"\x81\xa5Lines\xdd".to_vec();
    message.extend(count.to_be_bytes());
    message.resize(message.len() + count as usize, 0xa0);
    let mut small = Vec::new();
    DeflateEncoder::new(&message[..], Compression::best()).read_to_end(&mut small).unwrap();
    let length = u32::try_from(small.len()).unwrap() | DEFLATED;

    let error = refusal::<Reply>(&[&length.to_be_bytes(), &small[..]].concat()).await;

    assert!(error.contains("values: the stream is broken"), "{error}");
}

#[tokio::test]
async fn the_plan_of_many_pages_is_no_broken_stream() {
    let change = |number: usize| Planned {
        tag: "site1".to_owned(),
        change: crate::event::Change::new(
            Id::new("file", format!("/var/www/site1/pages/{number}.html")),
            crate::event::Action::Create,
        )
        .attribute("mode", None, Some("0644".to_owned()))
        .attribute("owner", None, Some("root:root".to_owned())),
    };
    let reply = Reply::Plan {
        changes: (0..50_000).map(change).collect(),
        kept: Vec::new(),
        fingerprint: "0".repeat(64),
        wants: Vec::new(),
        lacking: Vec::new(),
        seals: Vec::new(),
    };
    let mut stream = Vec::new();
    write_frame(&mut stream, &reply).await.unwrap();

    let read: Option<Reply> = read_frame(&mut &stream[..]).await.unwrap();

    assert!(matches!(read, Some(Reply::Plan { changes, .. }) if changes.len() == 50_000));
}
