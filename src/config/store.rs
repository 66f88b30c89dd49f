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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use crate::config::testing::Folder;
    use crate::config::{Config, MapEnvironment};

    #[test]
    fn spans_go_to_the_store_unless_they_go_elsewhere() {
        let folder = Folder::new();
        let home = folder.0.display().to_string();
        let home = ("XDG_DATA_HOME", home.as_str());
        let file = Some(StorePlace::File(folder.0.join("ironspan/traces.db")));
        let auto = Options::default();
        let store = |variables: &[(&str, &str)], options: &Options| {
            let environment: MapEnvironment = variables.iter().copied().collect();
            Config::resolve(options, &environment).unwrap().0.store
        };
        if cfg!(target_os = "linux") {
            assert_eq!(store(&[home], &auto), file);
            assert_eq!(store(&[home, ("IRONSPAN_CONSOLE", "tree")], &auto), file);
        }
        for elsewhere in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_SDK_DISABLED", "true"),
            ("IRONSPAN_STORE", "off"),
        ] {
            assert_eq!(store(&[home, elsewhere], &auto), None, "{elsewhere:?}");
        }
        assert_eq!(store(&[home], &Options { exporters: Exporters::List(Vec::new()), ..Options::default() }), None);
        assert_eq!(store(&[home], &Options { implicit: true, ..Options::default() }), None);
        // Whoever names a store gets it, wherever else spans go.
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        let memory = ("IRONSPAN_STORE", "memory");
        let implicit = Options { implicit: true, ..Options::default() };
        assert_eq!(store(&[endpoint, memory], &implicit), Some(StorePlace::Memory));
        let named = Options { store: Some(String::from("/x.db")), ..Options::default() };
        assert_eq!(store(&[memory], &named), Some(StorePlace::File("/x.db".into())));
    }
}
