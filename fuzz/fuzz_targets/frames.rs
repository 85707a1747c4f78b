//! What a stranger sends is an error or a message: never a panic, never much memory, never a hang.

#![no_main]

use hwctl::engine::protocol::{Reply, Request, read_frame, skip_to_greeting};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    runtime.block_on(async {
        // The engine's side of a session.
        let mut requests = stream;
        if skip_to_greeting(&mut requests).await.is_ok() {
            while let Ok(Some(_)) = read_frame::<Request>(&mut requests).await {}
        }
        // The operator's side, past the greeting.
        let mut replies = stream;
        while let Ok(Some(_)) = read_frame::<Reply>(&mut replies).await {}
    });
});
