//! The configuration in force: resolved once from `init()` or from the environment, behind one atomic pointer, because
//! the child of a fork must be able to read it whatever other threads did at that moment.

use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use pyo3::prelude::*;

use crate::config::{Config, MapEnvironment, Options, ProcessEnvironment, Warning};
use crate::python::{options, report};
use crate::sinks::memory::Kept;

/// A configuration, and what in it only Python can name.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// The stores of the memory exporters, in their order among the destinations.
    pub(crate) memories: Vec<Arc<Kept>>,
}

static SETTINGS: AtomicPtr<Settings> = AtomicPtr::new(std::ptr::null_mut());

fn installed() -> Option<&'static Settings> {
    // SAFETY: null, or a leaked box that is never freed: readers may hold it for ever.
    #[allow(unsafe_code, reason = "as the engine's pointer: one load, no lock, safe after a fork")]
    unsafe {
        SETTINGS.load(Acquire).as_ref()
    }
}

/// The configuration in force, read from the environment if `init()` was not called.
pub(crate) fn get(py: Python<'_>) -> &'static Settings {
    if let Some(settings) = installed() {
        return settings;
    }
    let options = Options { runtime: options::runtime(py), implicit: true, ..Options::default() };
    let (config, warnings) = match Config::resolve(&options, &ProcessEnvironment) {
        Ok(resolved) => resolved,
        // Without arguments and without `strict` nothing is an error; should that ever change, the environment is left
        // aside rather than raised about in the user's code.
        Err(error) => {
            report::warn(py, &error.to_string());
            #[expect(clippy::expect_used, reason = "no argument and no variable: nothing is there to be wrong")]
            Config::resolve(&options, &MapEnvironment::default()).expect("the defaults resolve")
        }
    };
    let settings = install(Settings { config, memories: Vec::new() });
    tell(py, &warnings);
    settings
}

/// Puts a configuration in force.
pub(crate) fn install(settings: Settings) -> &'static Settings {
    let leaked: &'static Settings = Box::leak(Box::new(settings));
    SETTINGS.swap(std::ptr::from_ref(leaked).cast_mut(), AcqRel);
    leaked
}

/// Logs what is wrong with the environment, one line each.
pub(crate) fn tell(py: Python<'_>, warnings: &[Warning]) {
    for warning in warnings {
        report::warn(py, &warning.to_string());
    }
}
