//! The OTLP destination: finished spans to an OpenTelemetry Collector or any backend that speaks OTLP, over HTTP
//! (protobuf or JSON) or gRPC.

pub mod encode;
pub mod json;
pub mod retry;
#[cfg(test)]
pub(crate) mod testing;
