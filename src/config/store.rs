//! Which store a program writes to.

use std::path::PathBuf;

use super::choice::StoreSetting;
use super::env::Reader;
use super::{Destination, Exporters, Options};

/// A store to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// This file; absolute, so that a later change of the working folder does not move it.
    File(PathBuf),
    /// In memory, gone at exit.
    Memory,
}

/// The place that follows from the setting. `auto` is the local file for a program that called `init()` and named no
/// exporter, neither in code nor in the environment: who sends spans away has a place to read them.
pub(super) fn resolve(
    setting: &StoreSetting,
    options: &Options,
    destinations: &[Destination],
    reader: &Reader<'_>,
) -> Option<StorePlace> {
    let folder = || std::env::current_dir().unwrap_or_default();
    match setting {
        StoreSetting::Off => None,
        StoreSetting::Memory => Some(StorePlace::Memory),
        StoreSetting::File(path) => Some(StorePlace::File(folder().join(path))),
        StoreSetting::Auto => {
            let is_local = |destination: &Destination| matches!(destination, Destination::Console(_));
            let exports = !matches!(options.exporters, Exporters::Env)
                || reader.text("OTEL_TRACES_EXPORTER").is_some()
                || !destinations.iter().all(is_local);
            if options.implicit || exports {
                return None;
            }
            crate::store::location::default_file(reader.environment(), &folder()).map(StorePlace::File)
        }
    }
}
