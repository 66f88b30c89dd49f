//! The OTLP destination against real receivers on the loopback interface.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "tests: a failure here is the finding"
)]

mod answers;
mod delivery;
mod fork;
mod receiver;
mod rig;
mod shutdown;
mod wire;
