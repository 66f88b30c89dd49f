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
#[cfg(feature = "failpoints")]
mod failpoints;
mod fork;
#[cfg(feature = "grpc")]
mod grpc;
mod receiver;
mod rig;
mod shutdown;
#[cfg(feature = "tls")]
mod tls;
mod wire;
