//! The arguments of `init()`: from Python objects to `config::Options`. Types are checked here, values in `config`.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};

use crate::config::{ConfigError, DestinationOptions, Exporters, LimitOptions, Options, OtlpOptions, Runtime, Sample};
use crate::finished::OwnedValue;
use crate::python::errors;
use crate::python::memory::MemoryStore;
use crate::sinks::memory::Kept;

/// Names of all options, for the sentence about an unknown one.
const KNOWN: [&str; 19] = [
    "service",
    "store",
    "exporters",
    "sample",
    "capture",
    "mask",
    "limits",
    "prices",
    "resource",
    "environment",
    "version",
    "propagators",
    "dialects",
    "shutdown_timeout",
    "strict",
    "console",
    "threads",
    "spool",
    "columns",
];

/// Names of the limits.
const LIMITS: [&str; 11] = [
    "attribute_value_length",
    "attributes",
    "events",
    "links",
    "event_attributes",
    "link_attributes",
    "depth",
    "nodes",
    "items",
    "span_bytes",
    "buffer_bytes",
];

/// What can go wrong while arguments are read.
pub(crate) enum Failure {
    /// The user wrote something wrong.
    Config(ConfigError),
    /// Python itself failed.
    Python(PyErr),
}

impl Failure {
    pub(crate) fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Config(error) => errors::config_error(py, &error),
            Self::Python(error) => error,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

/// The runtime, for the resource.
pub(crate) fn runtime(py: Python<'_>) -> Runtime {
    let text = |name: &str| -> String {
        py.import("platform").and_then(|platform| platform.call_method0(name)?.extract()).unwrap_or_default()
    };
    let version = py.version_info();
    Runtime {
        language: "python".to_owned(),
        name: text("python_implementation").to_ascii_lowercase(),
        version: format!("{}.{}.{}", version.major, version.minor, version.patch),
        description: Python::version_str().to_owned(),
    }
}

/// Reads the arguments.
pub(crate) fn read(py: Python<'_>, given: &Bound<'_, PyDict>) -> Result<(Options, Vec<Arc<Kept>>), Failure> {
    let mut options = Options { runtime: runtime(py), ..Options::default() };
    let mut memories = Vec::new();
    for (name, value) in given {
        let name: String = name.extract()?;
        if !KNOWN.contains(&name.as_str()) {
            return Err(ConfigError::unknown_option(&name, &KNOWN).into());
        }
        if value.is_none() && name != "store" {
            continue;
        }
        match name.as_str() {
            "service" => options.service = Some(text(&name, &value)?),
            "environment" => options.environment = Some(text(&name, &value)?),
            "version" => options.version = Some(text(&name, &value)?),
            "capture" => options.capture = Some(text(&name, &value)?),
            "console" => options.console = Some(text(&name, &value)?),
            "spool" => options.spool = Some(path(&name, &value)?),
            "store" if value.is_none() => options.store = Some("off".to_owned()),
            "store" => options.store = Some(path(&name, &value)?),
            "sample" => options.sample = Some(sample(&value)?),
            "resource" => options.resource = resource(&value)?,
            "propagators" => options.propagators = Some(names(&name, &value)?),
            "dialects" => options.dialects = Some(names(&name, &value)?),
            "exporters" => options.exporters = exporters(&value, &mut memories)?,
            "limits" => options.limits = limits(&value)?,
            "shutdown_timeout" => options.shutdown_timeout = Some(number(&name, &value)?),
            "strict" => options.strict = flag(&name, &value)?,
            "threads" => options.thread_propagation = Some(flag(&name, &value)?),
            "columns" => options.columns = value.extract().ok(),
            _ => {
                return Err(ConfigError::wrong_type(
                    &name,
                    "given",
                    "nothing yet: this option comes with a later version",
                )
                .into());
            }
        }
    }
    Ok((options, memories))
}

/// A type's name for the sentence about a wrong one.
fn got(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string_lossy().into_owned());
    format!("of type {name}")
}

fn text(option: &str, value: &Bound<'_, PyAny>) -> Result<String, Failure> {
    match value.cast::<PyString>() {
        Ok(text) => Ok(text.to_string_lossy().into_owned()),
        Err(_) => Err(ConfigError::wrong_type(option, &got(value), "a string").into()),
    }
}

fn path(option: &str, value: &Bound<'_, PyAny>) -> Result<String, Failure> {
    value
        .extract::<PathBuf>()
        .map(|path| path.to_string_lossy().into_owned())
        .map_err(|_| ConfigError::wrong_type(option, &got(value), "a path as a string or pathlib.Path").into())
}

fn number(option: &str, value: &Bound<'_, PyAny>) -> Result<f64, Failure> {
    let is_number =
        (value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>()) && !value.is_instance_of::<PyBool>();
    match value.extract() {
        Ok(number) if is_number => Ok(number),
        _ => Err(ConfigError::wrong_type(option, &got(value), "a number").into()),
    }
}

fn flag(option: &str, value: &Bound<'_, PyAny>) -> Result<bool, Failure> {
    match value.cast::<PyBool>() {
        Ok(flag) => Ok(flag.is_true()),
        Err(_) => Err(ConfigError::wrong_type(option, &got(value), "True or False").into()),
    }
}

fn names(option: &str, value: &Bound<'_, PyAny>) -> Result<Vec<String>, Failure> {
    let wrong = || ConfigError::wrong_type(option, &got(value), "a list of names");
    if value.is_instance_of::<PyString>() {
        return Err(wrong().into());
    }
    value.extract().map_err(|_| wrong().into())
}

fn sample(value: &Bound<'_, PyAny>) -> Result<Sample, Failure> {
    if let Ok(name) = value.cast::<PyString>() {
        return Ok(Sample::Named(name.to_string_lossy().into_owned()));
    }
    number("sample", value).map(Sample::Ratio).map_err(|_| {
        ConfigError::wrong_type("sample", &got(value), "a number from 0 to 1, or the name of a sampler").into()
    })
}

fn mapping<'py>(option: &str, value: &Bound<'py, PyAny>, of: &str) -> Result<Bound<'py, PyDict>, Failure> {
    value.cast::<PyDict>().cloned().map_err(|_| ConfigError::wrong_type(option, &got(value), of).into())
}

fn resource(value: &Bound<'_, PyAny>) -> Result<Vec<(String, OwnedValue)>, Failure> {
    let mut attributes = Vec::new();
    for (key, value) in &mapping("resource", value, "a dict of attributes")? {
        let key = text("resource", &key)?;
        let option = format!("resource[{key:?}]");
        attributes.push((key, owned(&option, &value)?));
    }
    Ok(attributes)
}

fn owned(option: &str, value: &Bound<'_, PyAny>) -> Result<OwnedValue, Failure> {
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(OwnedValue::Bool(flag.is_true()));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(OwnedValue::Str(text(option, value)?));
    }
    if let Ok(number) = value.extract::<i64>() {
        return Ok(OwnedValue::Int(number));
    }
    if let Ok(number) = value.extract::<f64>() {
        return Ok(OwnedValue::Float(number));
    }
    if let Ok(items) = value.extract::<Vec<Bound<'_, PyAny>>>() {
        return items.iter().map(|item| owned(option, item)).collect::<Result<_, _>>().map(OwnedValue::List);
    }
    Err(ConfigError::wrong_type(option, &got(value), "a string, number, boolean or a list of these").into())
}

fn limits(value: &Bound<'_, PyAny>) -> Result<LimitOptions, Failure> {
    let mut limits = LimitOptions::default();
    for (key, value) in &mapping("limits", value, "a dict of limits")? {
        let key = text("limits", &key)?;
        if !LIMITS.contains(&key.as_str()) {
            return Err(ConfigError::unknown_option(&format!("limits[{key:?}]"), &LIMITS).into());
        }
        let number: i64 = value.extract().map_err(|_| {
            Failure::from(ConfigError::wrong_type(&format!("limits[{key:?}]"), &got(&value), "a whole number"))
        })?;
        let slot = match key.as_str() {
            "attribute_value_length" => &mut limits.attribute_value_length,
            "attributes" => &mut limits.attributes,
            "events" => &mut limits.events,
            "links" => &mut limits.links,
            "event_attributes" => &mut limits.event_attributes,
            "link_attributes" => &mut limits.link_attributes,
            "depth" => &mut limits.depth,
            "nodes" => &mut limits.nodes,
            "items" => &mut limits.items,
            "span_bytes" => &mut limits.span_bytes,
            _ => &mut limits.buffer_bytes,
        };
        *slot = Some(number);
    }
    Ok(limits)
}

const EXPORTER_KINDS: &str =
    "a list of exporters from ironspan.exporters (Otlp, Console, File) or ironspan.testing.MemoryExporter";

fn exporters(value: &Bound<'_, PyAny>, memories: &mut Vec<Arc<Kept>>) -> Result<Exporters, Failure> {
    if let Ok(word) = value.cast::<PyString>() {
        if word.to_string_lossy() == "env" {
            return Ok(Exporters::Env);
        }
        return Err(ConfigError::wrong_type("exporters", "a string other than \"env\"", EXPORTER_KINDS).into());
    }
    let Ok(items) = value.extract::<Vec<Bound<'_, PyAny>>>() else {
        return Err(ConfigError::wrong_type("exporters", &got(value), EXPORTER_KINDS).into());
    };
    let mut list = Vec::new();
    for (at, item) in items.iter().enumerate() {
        list.push(exporter(&format!("exporters[{at}]"), item, memories)?);
    }
    Ok(Exporters::List(list))
}

fn exporter(
    option: &str,
    item: &Bound<'_, PyAny>,
    memories: &mut Vec<Arc<Kept>>,
) -> Result<DestinationOptions, Failure> {
    let wrong = || ConfigError::wrong_type(option, &got(item), EXPORTER_KINDS);
    if let Ok(store) = item.getattr("_store").and_then(|store| store.cast_into::<MemoryStore>().map_err(PyErr::from)) {
        memories.push(store.get().kept());
        return Ok(DestinationOptions::Memory);
    }
    let Ok(kind) = item.getattr("_ironspan_exporter").and_then(|kind| kind.extract::<String>()) else {
        return Err(wrong().into());
    };
    let fields = item.getattr("__dict__")?;
    let fields = mapping(option, &fields, EXPORTER_KINDS)?;
    let field = |name: &str| -> Result<Option<Bound<'_, PyAny>>, Failure> {
        Ok(fields.get_item(name)?.filter(|value| !value.is_none()))
    };
    let named = |name: &str| format!("{option}.{name}");
    let optional_text = |name: &str| field(name)?.map(|value| text(&named(name), &value)).transpose();
    let optional_path =
        |name: &str| field(name)?.map(|value| path(&named(name), &value).map(PathBuf::from)).transpose();
    let optional_flag = |name: &str| field(name)?.map(|value| flag(&named(name), &value)).transpose();
    let dialects = field("dialects")?.map(|value| names(&named("dialects"), &value)).transpose()?;
    match kind.as_str() {
        "otlp" => {
            let headers = field("headers")?
                .map(|value| -> Result<Vec<(String, String)>, Failure> {
                    let pairs = mapping(&named("headers"), &value, "a dict of header names and values")?;
                    pairs
                        .iter()
                        .map(|(name, value)| Ok((text(&named("headers"), &name)?, text(&named("headers"), &value)?)))
                        .collect()
                })
                .transpose()?;
            Ok(DestinationOptions::Otlp(Box::new(OtlpOptions {
                endpoint: optional_text("endpoint")?,
                traces_endpoint: optional_text("traces_endpoint")?,
                protocol: optional_text("protocol")?,
                headers,
                compression: optional_text("compression")?,
                timeout: field("timeout")?.map(|value| number(&named("timeout"), &value)).transpose()?,
                certificate: optional_path("certificate")?,
                client_certificate: optional_path("client_certificate")?,
                client_key: optional_path("client_key")?,
                insecure: optional_flag("insecure")?,
                allow_plain_credentials: optional_flag("allow_plain_credentials")?,
                dialects,
            })))
        }
        "console" => Ok(DestinationOptions::Console { mode: optional_text("mode")?, colour: optional_text("colour")? }),
        "file" => match optional_path("path")? {
            Some(path) => Ok(DestinationOptions::File { path, dialects }),
            None => Err(ConfigError::wrong_type(&named("path"), "not given", "a path ending in .jsonl").into()),
        },
        _ => Err(wrong().into()),
    }
}
