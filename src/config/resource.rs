//! Who sends: resource attributes from the process, from `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`, and from
//! `init`.
//!
//! What the user says is resolved once. What the process is (its id, its instance id) is looked up by
//! [`ResourceConfig::detect`] each time an engine is built, since the child of a fork is another process.
//!
//! Command lines, working directories and environment values are left out on purpose: they hold secrets (OpenTelemetry
//! semantic conventions, resource, process: opt-in).

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use super::env::{Reader, parse_pairs};
use super::error::{ConfigError, Problem, quoted};
use crate::finished::{OwnedValue, Resource};
use crate::fork;

/// Bytes of the user's attributes together; they travel with every request.
const MAX_BYTES: usize = 64 * 1024;

/// Bytes read of a system file.
const MAX_SYSTEM_FILE: u64 = 1024 * 1024;

/// Attributes that say which SDK this is. They are ours to say.
const SDK_PREFIX: &str = "telemetry.sdk.";

/// The language runtime we live in, told by the binding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runtime {
    /// `telemetry.sdk.language`: `python`; `rust` when empty.
    pub language: String,
    /// `process.runtime.name`, such as `cpython`; left out when empty.
    pub name: String,
    /// `process.runtime.version`, such as `3.12.3`; left out when empty.
    pub version: String,
    /// `process.runtime.description`, such as `sys.version`; left out when empty.
    pub description: String,
}

/// What the user says about the resource, resolved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceConfig {
    /// Unique keys; these beat what is detected.
    attributes: Vec<(String, OwnedValue)>,
    runtime: Runtime,
}

/// What `init` says about the resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResourceArguments<'a> {
    pub(super) service: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) environment: Option<&'a str>,
    pub(super) resource: &'a [(String, OwnedValue)],
    pub(super) runtime: &'a Runtime,
}

impl ResourceConfig {
    /// Resolves the user's attributes: arguments of their own, then `resource=`, then `OTEL_SERVICE_NAME`, then
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub(super) fn resolve(arguments: ResourceArguments<'_>, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        const VARIABLE: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let mut attributes = Vec::new();
        let parse = |text: &str| parse_pairs(text).and_then(within_bytes);
        for (key, value) in reader.read(VARIABLE, parse, "the whole variable is left out").unwrap_or_default() {
            if key.starts_with(SDK_PREFIX) {
                let problem = Problem::new(format!("sets {key}, which the SDK says of itself"), "leave it out");
                reader.hint(VARIABLE, problem, "the attribute is left out");
            } else {
                set(&mut attributes, &key, OwnedValue::Str(value));
            }
        }
        if let Some(name) = reader.text("OTEL_SERVICE_NAME") {
            set(&mut attributes, "service.name", OwnedValue::Str(name));
        }
        let mut bytes = 0;
        for (key, value) in arguments.resource {
            let fault = |what: String, instead: &str| ConfigError::new("resource", Problem::new(what, instead));
            if key.is_empty() {
                return Err(fault(String::from("has an empty key"), "write a name such as team"));
            }
            if key.starts_with(SDK_PREFIX) {
                return Err(fault(format!("sets {}, which the SDK says of itself", quoted(key)), "leave it out"));
            }
            bytes += key.len() + size(value);
            if bytes > MAX_BYTES {
                return Err(fault(format!("has more than {MAX_BYTES} bytes"), "write a few short values"));
            }
            set(&mut attributes, key, value.clone());
        }
        for (option, key, value) in [
            ("service", "service.name", arguments.service),
            ("version", "service.version", arguments.version),
            ("environment", "deployment.environment.name", arguments.environment),
        ] {
            let Some(value) = value.map(str::trim) else { continue };
            let problem = if value.is_empty() {
                Problem::new("is empty", "write a name, or leave the option out")
            } else if value.len() > 1024 {
                Problem::new(format!("has {} bytes", value.len()), "write a name of at most 1024 bytes")
            } else {
                set(&mut attributes, key, OwnedValue::Str(value.to_owned()));
                continue;
            };
            return Err(ConfigError::new(option, problem));
        }
        Ok(Self { attributes, runtime: arguments.runtime.clone() })
    }

    /// The resource of this very process: what is detected, beaten by what the user says. Reads a few small system
    /// files; nothing here fails, an attribute that cannot be found is left out.
    #[must_use]
    pub fn detect(&self) -> Resource {
        let mut attributes = Vec::with_capacity(24);
        let executable = executable();
        let service = executable
            .as_ref()
            .map_or_else(|| String::from("unknown_service"), |executable| format!("unknown_service:{executable}"));
        let language = if self.runtime.language.is_empty() { "rust" } else { &self.runtime.language };
        let runtime = |text: &String| (!text.is_empty()).then(|| text.clone());
        let detected = [
            ("service.name", Some(service)),
            ("service.instance.id", Some(instance_id())),
            ("telemetry.sdk.name", Some(String::from("ironspan"))),
            ("telemetry.sdk.language", Some(language.to_owned())),
            ("telemetry.sdk.version", Some(String::from(env!("CARGO_PKG_VERSION")))),
            ("process.executable.name", executable),
            ("process.runtime.name", runtime(&self.runtime.name)),
            ("process.runtime.version", runtime(&self.runtime.version)),
            ("process.runtime.description", runtime(&self.runtime.description)),
            ("process.owner", owner()),
            ("process.creation.time", creation_time()),
            ("host.name", host_name()),
            ("os.type", Some(os_type().to_owned())),
        ];
        for (key, value) in detected {
            if let Some(value) = value {
                attributes.push((key.to_owned(), OwnedValue::Str(value)));
            }
        }
        attributes.push((String::from("process.pid"), OwnedValue::Int(i64::from(std::process::id()))));
        for (key, value) in &self.attributes {
            set(&mut attributes, key, value.clone());
        }
        Resource {
            attributes,
            scope_name: String::from("ironspan"),
            scope_version: String::from(env!("CARGO_PKG_VERSION")),
        }
    }
}

fn set(attributes: &mut Vec<(String, OwnedValue)>, key: &str, value: OwnedValue) {
    match attributes.iter_mut().find(|(existing, _)| existing == key) {
        Some((_, place)) => *place = value,
        None => attributes.push((key.to_owned(), value)),
    }
}

fn within_bytes(pairs: Vec<(String, String)>) -> Result<Vec<(String, String)>, Problem> {
    let bytes: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MAX_BYTES {
        return Err(Problem::new(format!("has {bytes} bytes"), format!("write at most {MAX_BYTES}")));
    }
    Ok(pairs)
}

fn size(value: &OwnedValue) -> usize {
    match value {
        OwnedValue::Str(text) => text.len(),
        OwnedValue::List(items) => items.iter().map(|item| size(item) + 8).sum(),
        OwnedValue::Int(_) | OwnedValue::Float(_) | OwnedValue::Bool(_) => 8,
    }
}

/// The name of the program's file, without its folders.
fn executable() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    // Linux marks a program whose file was replaced while it runs.
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    (!name.is_empty()).then(|| name.to_owned())
}

/// The id of this process: the same for every engine that it builds, another one in a forked child.
fn instance_id() -> String {
    static KNOWN: Mutex<Option<(u32, String)>> = Mutex::new(None);
    // Not waited for: in a forked child it may be held by a thread that the child does not have.
    let Ok(mut known) = KNOWN.try_lock() else { return random_id() };
    match &*known {
        Some((epoch, id)) if *epoch == fork::epoch() => id.clone(),
        _ => known.insert((fork::epoch(), random_id())).1.clone(),
    }
}

/// A random UUID (RFC 9562, version 4). From the OS, so that forked processes do not share it.
fn random_id() -> String {
    let mut bytes = [0_u8; 16];
    if getrandom::getrandom(&mut bytes).is_err() {
        // An OS without randomness at this moment: what differs between processes, which is all that is asked for.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos());
        bytes = (now << 32 ^ u128::from(std::process::id())).to_be_bytes();
    }
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// A small system file as text, with space around it cut off; `None` when it is not there or empty.
fn system_file(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(Path::new(path)).ok()?.take(MAX_SYSTEM_FILE).read_to_string(&mut text).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The name of this machine.
pub(crate) fn host_name() -> Option<String> {
    let from_environment = || {
        ["HOSTNAME", "COMPUTERNAME"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()))
    };
    system_file("/proc/sys/kernel/hostname").or_else(|| system_file("/etc/hostname")).or_else(from_environment)
}

/// `os.type` (OpenTelemetry semantic conventions, resource, OS).
fn os_type() -> &'static str {
    match std::env::consts::OS {
        "macos" | "ios" => "darwin",
        "dragonfly" => "dragonflybsd",
        "illumos" => "solaris",
        "android" => "linux",
        other => other,
    }
}

/// The name of the user whom the process belongs to, from the local user database.
#[cfg(unix)]
fn owner() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let user = fs::metadata("/proc/self").ok()?.uid();
    user_name(&system_file("/etc/passwd")?, user)
}

#[cfg(not(unix))]
fn owner() -> Option<String> {
    None
}

/// Looks a user id up in the text of `/etc/passwd` (passwd(5)).
#[cfg(unix)]
fn user_name(passwd: &str, user: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == user && !name.is_empty()).then(|| name.to_owned())
    })
}

/// When the process was started, ISO 8601 in UTC. Linux only.
fn creation_time() -> Option<String> {
    let boot_seconds = boot_time(&system_file("/proc/stat")?)?;
    let ticks = start_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
    // Ticks are hundredths of seconds on every architecture we build for (USER_HZ).
    Some(timestamp(boot_seconds.checked_mul(100)?.checked_add(ticks)?))
}

/// Unix seconds of the boot in the text of `/proc/stat` (`proc_stat(5)`).
fn boot_time(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|text| text.trim().parse().ok())
}

/// Ticks from boot to the start of the process in the text of `/proc/self/stat` (`proc_pid_stat(5)`), field 22. The
/// program's name, field 2, may hold spaces and brackets.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// ISO 8601 of hundredths of seconds since the Unix epoch.
fn timestamp(hundredths: u64) -> String {
    let seconds = hundredths / 100;
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Days to civil date, counting years from March so that the leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:02}0Z", hundredths % 100)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use crate::config::env::MapEnvironment;

    fn text(resource: &Resource, key: &str) -> Option<String> {
        resource.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| match value {
            OwnedValue::Str(text) => text.clone(),
            other => format!("{other:?}"),
        })
    }

    fn resolve(
        environment: &[(&str, &str)],
        arguments: ResourceArguments<'_>,
    ) -> (Result<ResourceConfig, ConfigError>, Vec<String>) {
        let environment: MapEnvironment = environment.iter().copied().collect();
        let mut reader = Reader::new(&environment);
        let config = ResourceConfig::resolve(arguments, &mut reader);
        (config, reader.into_warnings().iter().map(ToString::to_string).collect())
    }

    const RUNTIME: &Runtime =
        &Runtime { language: String::new(), name: String::new(), version: String::new(), description: String::new() };
    const NOTHING: ResourceArguments<'_> =
        ResourceArguments { service: None, version: None, environment: None, resource: &[], runtime: RUNTIME };

    #[test]
    fn a_bare_process_is_described() {
        let resource = resolve(&[], NOTHING).0.unwrap().detect();
        let name = text(&resource, "service.name").unwrap();
        let executable = text(&resource, "process.executable.name").unwrap();
        assert!(!executable.is_empty() && !executable.contains('/'));
        assert_eq!(name, format!("unknown_service:{executable}"));
        assert_eq!(text(&resource, "telemetry.sdk.name").as_deref(), Some("ironspan"));
        assert_eq!(text(&resource, "telemetry.sdk.language").as_deref(), Some("rust"));
        assert_eq!(text(&resource, "telemetry.sdk.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(text(&resource, "process.pid"), Some(format!("Int({})", std::process::id())));
        assert_eq!(text(&resource, "process.runtime.name"), None);
        assert!(text(&resource, "os.type").is_some());
        let mut keys: Vec<_> = resource.attributes.iter().map(|(key, _)| key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), resource.attributes.len());
        assert!(!keys.iter().any(|key| key.contains("command") || key.contains("directory")));
    }

    #[test]
    fn the_binding_tells_the_runtime() {
        let runtime = Runtime {
            language: "python".into(),
            name: "cpython".into(),
            version: "3.12.3".into(),
            description: "3.12.3 (main)".into(),
        };
        let resource = resolve(&[], ResourceArguments { runtime: &runtime, ..NOTHING }).0.unwrap().detect();
        assert_eq!(text(&resource, "telemetry.sdk.language").as_deref(), Some("python"));
        assert_eq!(text(&resource, "process.runtime.name").as_deref(), Some("cpython"));
        assert_eq!(text(&resource, "process.runtime.version").as_deref(), Some("3.12.3"));
        assert_eq!(text(&resource, "process.runtime.description").as_deref(), Some("3.12.3 (main)"));
    }

    #[test]
    fn each_source_of_the_service_name_beats_the_next() {
        let variables = [("OTEL_RESOURCE_ATTRIBUTES", "service.name=d,x=1"), ("OTEL_SERVICE_NAME", "c")];
        let pairs = [(String::from("service.name"), OwnedValue::Str("b".into()))];
        let all = ResourceArguments { service: Some(" a "), resource: &pairs, ..NOTHING };
        for (environment, arguments, expected) in [
            (&variables[..], all, "a"),
            (&variables[..], ResourceArguments { service: None, ..all }, "b"),
            (&variables[..], NOTHING, "c"),
            (&variables[..1], NOTHING, "d"),
        ] {
            let resource = resolve(environment, arguments).0.unwrap().detect();
            assert_eq!(text(&resource, "service.name").as_deref(), Some(expected));
            assert_eq!(text(&resource, "x").as_deref(), Some("1"));
        }
    }

    #[test]
    fn version_and_environment_get_their_names_of_record() {
        let arguments = ResourceArguments { version: Some("1.2"), environment: Some("prod"), ..NOTHING };
        let resource = resolve(&[], arguments).0.unwrap().detect();
        assert_eq!(text(&resource, "service.version").as_deref(), Some("1.2"));
        assert_eq!(text(&resource, "deployment.environment.name").as_deref(), Some("prod"));
    }

    #[test]
    fn a_broken_variable_is_left_out_as_a_whole() {
        let (config, warnings) = resolve(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,team=%zz")], NOTHING);
        assert_eq!(config.unwrap().attributes, []);
        assert_eq!(warnings.len(), 1);
        assert!(warnings.concat().contains(r#"has the item "team=%zz""#), "{warnings:?}");
    }

    #[test]
    fn the_sdk_says_who_it_is() {
        let (config, warnings) =
            resolve(&[("OTEL_RESOURCE_ATTRIBUTES", "telemetry.sdk.name=opentelemetry,a=1")], NOTHING);
        let resource = config.unwrap().detect();
        assert_eq!(text(&resource, "telemetry.sdk.name").as_deref(), Some("ironspan"));
        assert_eq!(text(&resource, "a").as_deref(), Some("1"));
        assert_eq!(warnings.len(), 1);
        let pairs = [(String::from("telemetry.sdk.name"), OwnedValue::Str("x".into()))];
        assert!(resolve(&[], ResourceArguments { resource: &pairs, ..NOTHING }).0.is_err());
    }

    #[test]
    fn empty_and_oversized_arguments_are_refused() {
        let large = [(String::from("x"), OwnedValue::Str("x".repeat(MAX_BYTES)))];
        let nameless = [(String::new(), OwnedValue::Int(1))];
        for (arguments, words) in [
            (ResourceArguments { service: Some("  "), ..NOTHING }, "service is empty; write a name"),
            (ResourceArguments { version: Some(""), ..NOTHING }, "version is empty"),
            (ResourceArguments { resource: &large, ..NOTHING }, "resource has more than 65536 bytes"),
            (ResourceArguments { resource: &nameless, ..NOTHING }, "resource has an empty key"),
        ] {
            let message = resolve(&[], arguments).0.unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
        let (_, warnings) = resolve(&[("OTEL_RESOURCE_ATTRIBUTES", &format!("a={}", "x".repeat(MAX_BYTES)))], NOTHING);
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn a_process_is_one_instance() {
        let config = ResourceConfig::default();
        let first = text(&config.detect(), "service.instance.id").unwrap();
        assert_eq!(Some(&first), text(&config.detect(), "service.instance.id").as_ref());
        assert_ne!(first, random_id());
        let parts: Vec<_> = first.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert!(first.chars().nth(14) == Some('4') && matches!(first.chars().nth(19), Some('8' | '9' | 'a' | 'b')));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_owner_host_and_start() {
        let resource = ResourceConfig::default().detect();
        assert!(text(&resource, "host.name").is_some());
        let started = text(&resource, "process.creation.time").unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() * 100;
        assert!(
            started.as_str() <= timestamp(now + 200).as_str() && started.as_str() > timestamp(now - 8_640_000).as_str()
        );
        assert_eq!(started, text(&ResourceConfig::default().detect(), "process.creation.time").unwrap());
    }

    #[test]
    fn system_files_are_read_by_their_manuals() {
        let zeros = "0 ".repeat(18);
        assert_eq!(start_ticks(&format!("77 (a) b c) S {zeros}4242 0 0")), Some(4242));
        assert_eq!(start_ticks("77 (a"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nx 1"), Some(1_700_000_000));
        assert_eq!(boot_time("btime x"), None);
        let passwd = "broken\nroot:x:0:0:root:/root:/bin/sh\nana:x:1001:1001::/home/ana:/bin/sh\n";
        assert_eq!(user_name(passwd, 1001).as_deref(), Some("ana"));
        assert_eq!(user_name(passwd, 7), None);
    }

    #[test]
    fn timestamps_are_iso_8601() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(170_000_000_025), "2023-11-14T22:13:20.250Z");
        assert_eq!(timestamp(95_178_240_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(timestamp(410_244_480_000), "2100-01-01T00:00:00.000Z");
    }
}
