//! From a resolved configuration to sinks: which destinations there are, and what share of the memory each may hold.

use std::sync::Arc;

use crate::config::{self, Config, ConfigError};
use crate::ledger::Ledger;
use crate::sinks::memory::{Kept, MemorySink};
use crate::sinks::otlp::{OtlpSink, OtlpWorker};
use crate::sinks::{Destination, Sink, console, file};

/// A destination with its sink.
pub type Built = (Arc<Destination>, Arc<dyn Sink>);

/// Builds the sinks of `config`. `memories` are the stores of its memory destinations, in order.
///
/// # Errors
///
/// A destination that cannot work: an unusable certificate, a header that HTTP does not allow.
pub fn from_config(
    config: &Config,
    memories: &[Arc<Kept>],
    ledger: &'static Ledger,
) -> Result<Vec<Built>, ConfigError> {
    // One thread and one runtime for all OTLP destinations of an engine.
    let worker = OtlpWorker::new(ledger);
    // Beside what the queues hold there are records (three eighths) and what is being encoded, and one
    // destination that hangs cannot take the share of another.
    #[cfg(feature = "local")]
    let store = usize::from(config.store.is_some());
    #[cfg(not(feature = "local"))]
    let store = 0;
    let count = config.destinations.len() + store;
    let share = config.limits.buffer_bytes / 2 / count.max(1);
    let mut built: Vec<Built> = Vec::new();
    #[cfg(feature = "local")]
    if let Some(place) = &config.store {
        let shared = Arc::new(Destination::new("store", share));
        let path = match place {
            config::StorePlace::File(path) => path.clone(),
            config::StorePlace::Memory => crate::store::open::MEMORY.into(),
        };
        built.push((Arc::clone(&shared), Arc::new(super::store::sink(path, shared, ledger))));
    }
    let mut memories = memories.iter();
    for destination in &config.destinations {
        let kind = match destination {
            config::Destination::Otlp(_) => "otlp",
            config::Destination::Console(_) => "console",
            config::Destination::File(_) => "file",
            config::Destination::Memory => "memory",
        };
        let shared = Arc::new(Destination::new(unique(kind, &built), share));
        let sink: Arc<dyn Sink> = match destination {
            config::Destination::Memory => {
                Arc::new(MemorySink::new(memories.next().cloned().unwrap_or_default(), Arc::clone(&shared)))
            }
            config::Destination::Otlp(otlp) => Arc::new(
                OtlpSink::new(otlp, &config.batch, Arc::clone(&shared), &worker)
                    .map_err(|problem| ConfigError::new(&shared.name, problem))?,
            ),
            config::Destination::Console(config) => Arc::new(console::sink(*config, Arc::clone(&shared), ledger)),
            config::Destination::File(config) => Arc::new(file::sink(config, Arc::clone(&shared), ledger)),
        };
        built.push((shared, sink));
    }
    Ok(built)
}

/// `kind`, or `kind-2` and so on when there are several.
fn unique(kind: &str, built: &[Built]) -> String {
    let same = built.iter().filter(|(destination, _)| destination.name.split('-').next() == Some(kind)).count();
    if same == 0 { kind.to_owned() } else { format!("{kind}-{}", same + 1) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use crate::config::testing::Folder;
    use crate::config::{DestinationOptions, Exporters, MapEnvironment, Options};
    use crate::sinks::FlushToken;
    use crate::sinks::testing::{counts, delivery, ledger, patience, span};

    #[test]
    fn every_destination_of_a_configuration_gets_a_sink_that_works() {
        let folder = Folder::new();
        let path = folder.0.join("traces.jsonl");
        let list = vec![
            DestinationOptions::Memory,
            DestinationOptions::File { path: path.clone(), dialects: None },
            DestinationOptions::Memory,
        ];
        let options =
            Options { exporters: Exporters::List(list), console: Some("summary".to_owned()), ..Options::default() };
        let (config, _) = Config::resolve(&options, &MapEnvironment::default()).unwrap();
        let (kept, ledger) = (Arc::new(Kept::default()), ledger());
        let built = from_config(&config, &[Arc::clone(&kept)], ledger).unwrap();
        let names: Vec<_> = built.iter().map(|(destination, _)| destination.name.as_str()).collect();
        assert_eq!(names, ["memory", "file", "memory-2", "console"]);

        // Not to the console, which would print into the report of the tests.
        for (destination, sink) in built.iter().take(3) {
            sink.accept(delivery(&[span(1, 0, "run", 0, 1)], destination, ledger));
            let (token, settled) = FlushToken::pair();
            sink.flush(patience(), token);
            assert_eq!(settled.recv_deadline(patience()), Err(crossbeam_channel::RecvTimeoutError::Disconnected));
        }
        assert_eq!(counts(ledger).delivered, 3);
        assert_eq!(kept.batches().len(), 1);
        assert!(std::fs::read_to_string(path).unwrap().contains("\"name\":\"run\""));
    }
}
