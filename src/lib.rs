//! ironspan: tracing for LLM agents. A Rust core, used from Python.
//!
//! Data flows one way: Python face -> record -> buffer -> collector -> sinks. Only `src/python/` knows PyO3; everything
//! else is plain Rust and is tested without an interpreter.

pub mod alloc;
pub mod buffer;
pub mod clock;
#[cfg(feature = "local")]
pub mod command;
pub mod config;
pub mod context;
pub mod engine;
mod failpoint;
pub mod finished;
pub mod fork;
pub mod ids;
pub mod json;
mod json_text;
pub mod keys;
pub mod kind;
pub mod ledger;
pub mod propagation;
#[cfg(feature = "python")]
mod python;
pub mod record;
pub mod resolve;
pub mod runs;
pub mod sampling;
pub mod semconv;
pub mod sinks;
#[cfg(feature = "local")]
pub mod store;
pub mod tape;
pub mod terminal;
mod thread;
#[cfg(feature = "local")]
pub mod viewer;

/// Only in the extension module: a Rust program that links the core keeps its own choice.
#[cfg(feature = "python")]
#[global_allocator]
static ALLOCATOR: alloc::Allocator = alloc::Allocator;
