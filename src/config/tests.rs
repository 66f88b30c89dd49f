//! The whole configuration: precedence, strictness, and the table of variables.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a failing test may panic")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;

use super::testing::Folder;
use super::*;

fn resolve(variables: &[(&str, &str)], options: &Options) -> (Config, Vec<String>) {
    let environment: MapEnvironment = variables.iter().copied().collect();
    let (config, warnings) = Config::resolve(options, &environment).unwrap();
    (config, warnings.iter().map(ToString::to_string).collect())
}

fn clean(variables: &[(&str, &str)]) -> Config {
    let (config, warnings) = resolve(variables, &Options::default());
    assert_eq!(warnings, Vec::<String>::new(), "{variables:?}");
    config
}

fn error(options: &Options) -> String {
    Config::resolve(options, &MapEnvironment::default()).unwrap_err().to_string()
}

/// Kinds of the destinations.
fn kinds(config: &Config) -> Vec<&'static str> {
    let kind = |destination: &Destination| match destination {
        Destination::Otlp(_) => "otlp",
        Destination::Console(console) if console.mode == ConsoleMode::Summary => "summary",
        Destination::Console(_) => "tree",
        Destination::File(FileConfig { target: FileTarget::Stdout, .. }) => "stdout",
        Destination::File(_) => "file",
        Destination::Memory => "memory",
    };
    config.destinations.iter().map(kind).collect()
}

#[test]
fn nothing_said_means_the_documented_defaults() {
    let config = clean(&[]);
    assert!(!config.disabled && !config.strict && config.thread_propagation);
    assert_eq!(config.destinations, []);
    assert_eq!(config.sampler, Sampler::default());
    assert_eq!(config.propagators, Propagators::default());
    assert_eq!(config.dialects, [Dialect::GenAi]);
    assert_eq!(config.capture, Capture::Full);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.batch, BatchConfig::default());
    assert_eq!(config.spool, SpoolSetting::Auto);
    assert_eq!((config.shutdown_timeout, config.run_idle), (Duration::from_secs(2), Duration::from_secs(3600)));
    assert_eq!(config.log_level, LogLevel::Info);
    let limits = config.limits;
    assert_eq!(limits.attribute_value_length, None);
    assert_eq!(
        [limits.attributes, limits.events, limits.links, limits.event_attributes, limits.link_attributes],
        [128; 5]
    );
    assert_eq!((limits.depth, limits.nodes, limits.items), (64, 20_000, 1024));
    assert_eq!((limits.span_bytes, limits.buffer_bytes), (16 << 20, 64 << 20));
    let batch = config.batch;
    assert_eq!((batch.schedule_delay, batch.export_timeout), (Duration::from_secs(1), Some(Duration::from_secs(30))));
    assert_eq!((batch.max_queue_size, batch.max_export_batch_size), (262_144, 512));
}

#[test]
fn nothing_leaves_the_machine_unless_an_exporter_is_named() {
    for (variables, expected) in [
        (&[][..], &[][..]),
        (&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=1")], &[]),
        (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")], &["otlp"]),
        (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4318")], &["otlp"]),
        (&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], &[]),
        (&[("OTEL_TRACES_EXPORTER", "otlp")], &["otlp"]),
        (&[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")], &[]),
        (&[("OTEL_TRACES_EXPORTER", "console"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")], &["tree"]),
        (&[("OTEL_TRACES_EXPORTER", "OTLP, console,otlp,otlp/stdout")], &["otlp", "tree", "stdout"]),
        (&[("IRONSPAN_CONSOLE", "summary")], &["summary"]),
        (&[("IRONSPAN_CONSOLE", "summary"), ("OTEL_TRACES_EXPORTER", "console")], &["summary"]),
        (&[("IRONSPAN_CONSOLE", "off"), ("OTEL_TRACES_EXPORTER", "console")], &[]),
        (&[("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "otlp")], &[]),
    ] {
        assert_eq!(kinds(&clean(variables)), expected, "{variables:?}");
    }
}

#[test]
fn unusable_exporter_names_are_told_and_left_out() {
    for (names, words) in [
        ("zipkin,console", "write otlp and let a collector translate (left out)"),
        ("console,jaeger", r#"names "jaeger", which is not known; write otlp, console, otlp/stdout or none"#),
        ("none,otlp", "write none alone"),
    ] {
        let (config, warnings) = resolve(&[("OTEL_TRACES_EXPORTER", names)], &Options::default());
        let expected: &[&str] = if names.contains("none") { &[] } else { &["tree"] };
        assert_eq!(kinds(&config), expected);
        assert!(warnings.len() == 1 && warnings.concat().contains(words), "{warnings:?}");
    }
}

#[test]
fn exporters_in_code_replace_those_of_the_environment() {
    let folder = Folder::new();
    let path = folder.0.join("traces.jsonl");
    let list = vec![
        DestinationOptions::File { path: path.clone(), dialects: Some(vec!["openinference".into()]) },
        DestinationOptions::Memory,
        DestinationOptions::Memory,
    ];
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1"), ("IRONSPAN_CONSOLE", "tree")];
    let options = Options { exporters: Exporters::List(list), ..Options::default() };
    let (config, warnings) = resolve(&variables, &options);
    assert_eq!(kinds(&config), ["file", "memory", "memory", "tree"]);
    assert_eq!(warnings, Vec::<String>::new());
    let file = FileConfig { target: FileTarget::Path(path), dialects: Some(vec![Dialect::OpenInference]) };
    assert_eq!(config.destinations.first(), Some(&Destination::File(file)));

    let none = Options { exporters: Exporters::List(Vec::new()), ..Options::default() };
    assert_eq!(kinds(&resolve(&variables[..1], &none).0), [""; 0]);
}

#[test]
fn a_shared_wrong_variable_is_told_once() {
    let list = vec![DestinationOptions::Otlp(Box::default()), DestinationOptions::Otlp(Box::default())];
    let options = Options { exporters: Exporters::List(list), ..Options::default() };
    let (config, warnings) =
        resolve(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "x"), ("OTEL_ATTRIBUTE_COUNT_LIMIT", "y")], &options);
    assert_eq!(kinds(&config), ["otlp", "otlp"]);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[test]
fn wrong_exporters_in_code_are_errors() {
    let folder = Folder::new();
    let file = |path: PathBuf| DestinationOptions::File { path, dialects: None };
    let console = |mode: &str, colour: &str| DestinationOptions::Console {
        mode: Some(mode.to_owned()),
        colour: Some(colour.to_owned()),
    };
    std::fs::create_dir(folder.0.join("d.jsonl")).unwrap();
    for (list, words) in [
        (
            vec![file("traces.json".into())],
            r#"exporters[0].path is "traces.json", which does not end in .jsonl; write"#,
        ),
        (vec![file(folder.0.join("no/where.jsonl"))], "whose folder does not exist; make the folder first"),
        (vec![file(folder.0.join("d.jsonl"))], "which is a folder"),
        (vec![console("tre", "auto")], "exporters[0].mode is \"tre\", which is not known; did you mean tree?"),
        (vec![console("tree", "yes")], "exporters[0].colour is"),
        (
            vec![DestinationOptions::Memory, file(folder.0.join("a.jsonl")), file(folder.0.join("a.jsonl"))],
            "exporters[2] writes to the same place as exporters[1]",
        ),
        (vec![DestinationOptions::Memory; 17], "exporters has 17 entries; write at most 16"),
    ] {
        let sentence = error(&Options { exporters: Exporters::List(list), ..Options::default() });
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[test]
fn the_terminal_is_described_by_its_environment() {
    let console = |variables: &[(&str, &str)], columns| {
        let options = Options { console: Some("tree".into()), columns, ..Options::default() };
        match resolve(variables, &options).0.destinations.as_slice() {
            [Destination::Console(console)] => *console,
            other => panic!("one console, not {other:?}"),
        }
    };
    let plain = console(&[], None);
    assert_eq!((plain.unicode, plain.columns, plain.colour), (false, None, Colour::Auto));
    assert!(console(&[("LANG", "de_DE.UTF-8")], None).unicode);
    assert!(!console(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")], None).unicode);
    assert!(console(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")], None).unicode);
    assert_eq!(console(&[("NO_COLOR", "1")], None).colour, Colour::Never);
    assert_eq!(console(&[("TERM", "dumb")], None).colour, Colour::Never);
    assert_eq!(console(&[("COLUMNS", "80")], None).columns, Some(80));
    assert_eq!(console(&[("COLUMNS", "80")], Some(132)).columns, Some(132));
    assert_eq!(console(&[("COLUMNS", "wide")], Some(0)).columns, None);
}

#[test]
fn samplers_come_from_argument_then_variable() {
    let ratio = |ratio| Sampler::from_ratio(ratio).unwrap();
    let named = |name: &str| Sampler::from_name(name, None).unwrap();
    let variables = [("OTEL_TRACES_SAMPLER", "ParentBased_TraceIdRatio"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")];
    assert_eq!(clean(&variables).sampler, ratio(0.25));
    assert_eq!(
        clean(&[("OTEL_TRACES_SAMPLER", "always_off"), ("OTEL_TRACES_SAMPLER_ARG", "x")]).sampler,
        named("always_off")
    );
    let sample = |sample| Options { sample: Some(sample), ..Options::default() };
    assert_eq!(resolve(&variables, &sample(Sample::Ratio(0.5))).0.sampler, ratio(0.5));
    assert_eq!(resolve(&variables, &sample(Sample::Named("always_on".into()))).0.sampler, named("always_on"));
    for (variables, words) in [
        (&[("OTEL_TRACES_SAMPLER", "sometimes")][..], "write one of always_on, always_off"),
        (&[("OTEL_TRACES_SAMPLER", "alway_on")], "did you mean always_on?"),
        (&[("OTEL_TRACES_SAMPLER", "jaeger_remote")], "service that ironspan does not ask"),
        (&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "50%")], "is not a number from 0 to 1"),
        (&[("OTEL_TRACES_SAMPLER_ARG", "0.5")], "is set and OTEL_TRACES_SAMPLER is not"),
    ] {
        let (config, warnings) = resolve(variables, &Options::default());
        assert!(config.sampler.decide(None, crate::ids::TraceId::from_u128(u128::MAX)), "{variables:?}");
        assert!(warnings.len() == 1 && warnings.concat().contains(words), "{warnings:?}");
    }
    assert!(error(&sample(Sample::Ratio(1.5))).starts_with("sample is 1.5, which is not a number from 0 to 1; write"));
    assert!(error(&sample(Sample::Ratio(f64::NAN))).starts_with("sample is NaN"));
    assert!(error(&sample(Sample::Named("xray".into()))).starts_with("sample is \"xray\", which takes its rules"));
}

#[test]
fn propagators_come_from_argument_then_variable() {
    let b3 = Propagators::from_names(["b3"]).unwrap();
    let variables = [("OTEL_PROPAGATORS", "b3,B3")];
    assert_eq!(clean(&variables).propagators, b3);
    assert!(clean(&[("OTEL_PROPAGATORS", "none")]).propagators.is_empty());
    let options = Options { propagators: Some(vec!["tracecontext".into(), "baggage".into()]), ..Options::default() };
    assert_eq!(resolve(&variables, &options).0.propagators, Propagators::default());
    let (config, warnings) = resolve(&[("OTEL_PROPAGATORS", "tracecontext,ottrace")], &Options::default());
    assert_eq!(config.propagators, Propagators::default());
    assert!(warnings.concat().contains(r#"OTEL_PROPAGATORS is "ottrace", which is not known"#), "{warnings:?}");
    let options = Options { propagators: Some(vec!["bagage".into()]), ..Options::default() };
    assert_eq!(error(&options), r#"propagators is "bagage", which is not known; did you mean baggage?"#);
}

#[test]
fn a_disabled_sdk_still_propagates() {
    let config = clean(&[("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_PROPAGATORS", "b3")]);
    assert!(config.disabled);
    assert_eq!(config.propagators, Propagators::from_names(["b3"]).unwrap());
}

#[test]
fn wrong_words_about_capture_keep_less() {
    const GENERAL: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
    for (variables, expected) in [
        (&[("IRONSPAN_CAPTURE", "Redacted")][..], Capture::Redacted),
        (&[(GENERAL, "span_only")], Capture::Full),
        (&[(GENERAL, "false")], Capture::Metadata),
        (&[(GENERAL, "NO_CONTENT"), ("IRONSPAN_CAPTURE", "full")], Capture::Full),
    ] {
        assert_eq!(clean(variables).capture, expected, "{variables:?}");
    }
    for name in ["IRONSPAN_CAPTURE", GENERAL] {
        let (config, warnings) = resolve(&[(name, "nothing")], &Options::default());
        assert_eq!((config.capture, warnings.len()), (Capture::Metadata, 1));
    }
    let options = Options { capture: Some("off".into()), ..Options::default() };
    assert_eq!(resolve(&[("IRONSPAN_CAPTURE", "full")], &options).0.capture, Capture::Off);
    let options = Options { capture: Some("none".into()), ..Options::default() };
    assert_eq!(error(&options), r#"capture is "none", which is not known; write one of off, metadata, redacted, full"#);
}

#[test]
fn limits_go_from_argument_to_span_variable_to_general_one() {
    let variables = [
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "10"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "20"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "30"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "0"),
    ];
    let limits = clean(&variables).limits;
    assert_eq!(limits.attribute_value_length, Some(100));
    assert_eq!((limits.attributes, limits.event_attributes, limits.link_attributes), (20, 30, 10));
    assert_eq!((limits.events, limits.links), (0, 128));
    let given =
        LimitOptions { attributes: Some(5), depth: Some(8), span_bytes: Some(1 << 20), ..LimitOptions::default() };
    let limits = resolve(&variables, &Options { limits: given, ..Options::default() }).0.limits;
    assert_eq!((limits.attributes, limits.depth, limits.span_bytes), (5, 8, 1 << 20));

    let (config, warnings) =
        resolve(&[("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1"), ("OTEL_ATTRIBUTE_COUNT_LIMIT", "7")], &Options::default());
    assert_eq!(config.limits.attributes, 7);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn limits_out_of_range_are_errors() {
    let base = LimitOptions::default;
    for (limits, words) in [
        (
            LimitOptions { events: Some(-1), ..base() },
            "limits.events is -1, which is out of range; write a whole number",
        ),
        (
            LimitOptions { depth: Some(65), ..base() },
            "limits.depth is 65, which is out of range; write a whole number from 1 to 64",
        ),
        (LimitOptions { nodes: Some(0), ..base() }, "limits.nodes is 0"),
        (LimitOptions { buffer_bytes: Some(1 << 20), ..base() }, "limits.span_bytes is 16777216, which is more than"),
    ] {
        let sentence = error(&Options { limits, ..Options::default() });
        assert!(sentence.starts_with(words), "{sentence}");
    }
}

#[test]
fn batching_is_read_from_its_variables() {
    let batch = clean(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
    ])
    .batch;
    assert_eq!((batch.schedule_delay, batch.export_timeout), (Duration::from_millis(10), None));
    assert_eq!((batch.max_queue_size, batch.max_export_batch_size), (100, 100));
    let (config, warnings) = resolve(
        &[
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "-1"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1000000"),
        ],
        &Options::default(),
    );
    assert_eq!(config.batch, BatchConfig { max_export_batch_size: 262_144, ..BatchConfig::default() });
    assert_eq!(warnings.len(), 4, "{warnings:?}");
}

#[test]
fn words_of_our_own_are_read() {
    let config = clean(&[
        ("IRONSPAN_SPOOL", "/var/spool/x"),
        ("IRONSPAN_DIALECTS", "genai,langfuse"),
        ("IRONSPAN_RUN_IDLE_SECONDS", "90.5"),
        ("IRONSPAN_LOG", "debug"),
        ("OTEL_LOG_LEVEL", "error"),
    ]);
    assert_eq!(config.spool, SpoolSetting::Directory("/var/spool/x".into()));
    assert_eq!(config.dialects, [Dialect::GenAi, Dialect::Langfuse]);
    assert_eq!(config.run_idle, Duration::from_millis(90_500));
    assert_eq!(config.log_level, LogLevel::Debug);
    assert_eq!(clean(&[("OTEL_LOG_LEVEL", "WARN")]).log_level, LogLevel::Warning);
    let options = Options {
        spool: Some("off".into()),
        dialects: Some(vec!["openllmetry".into()]),
        shutdown_timeout: Some(0.5),
        thread_propagation: Some(false),
        ..Options::default()
    };
    let (config, _) = resolve(&[("IRONSPAN_DIALECTS", "genai")], &options);
    assert_eq!(config.spool, SpoolSetting::Off);
    assert_eq!(config.dialects, [Dialect::OpenLlmetry]);
    assert_eq!(config.shutdown_timeout, Duration::from_millis(500));
    assert!(!config.thread_propagation);
}

#[test]
fn wrong_arguments_are_one_sentence_each() {
    let base = Options::default;
    for (options, expected) in [
        (
            Options { shutdown_timeout: Some(-1.0), ..base() },
            "shutdown_timeout is -1, which is out of range; write a number of seconds from 0 to 86400",
        ),
        (
            Options { console: Some("full".into()), ..base() },
            r#"console is "full", which is not known; write one of off, summary, tree"#,
        ),
        (Options { store: Some(" ".into()), ..base() }, "store is empty; write a path, or off"),
        (Options { service: Some(String::new()), ..base() }, "service is empty; write a name, or leave the option out"),
        (
            Options { dialects: Some(vec!["gen-ai".into()]), ..base() },
            r#"dialects is "gen-ai", which is not known; did you mean genai?"#,
        ),
    ] {
        assert_eq!(error(&options), expected);
    }
}

#[test]
fn strict_makes_wrong_variables_errors_and_forgives_hints() {
    let strict = Options { strict: true, ..Options::default() };
    let resolve =
        |variables: &[(&str, &str)]| Config::resolve(&strict, &variables.iter().copied().collect::<MapEnvironment>());
    let wrong = resolve(&[("OTEL_BSP_SCHEDULE_DELAY", "soon")]).unwrap_err();
    assert_eq!(wrong.subject(), "OTEL_BSP_SCHEDULE_DELAY");
    assert!(!wrong.to_string().contains('('), "{wrong}");
    let (config, warnings) = resolve(&[("OTEL_CONFIG_FILE", "otel.yaml")]).unwrap();
    assert!(config.strict);
    assert_eq!(warnings.len(), 1);
}

#[test]
fn variables_set_in_vain_are_pointed_out() {
    let (_, warnings) = resolve(
        &[
            ("OTEL_CONFIG_FILE", "x"),
            ("OTEL_EXPERIMENTAL_CONFIG_FILE", "x"),
            ("OTEL_EXPORTER_OTLP_SPAN_INSECURE", "true"),
            ("IRONSPAN_STOER", "x"),
            ("IRONSPAN_SOMETHING_OF_YOURS", "x"),
        ],
        &Options::default(),
    );
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(warnings.concat().contains("IRONSPAN_STOER is not known; did you mean IRONSPAN_STORE?"));
}

/// Notes every name that is asked for.
#[derive(Default)]
struct Spy(RefCell<BTreeSet<String>>, MapEnvironment);

impl Environment for Spy {
    fn get(&self, name: &str) -> Option<String> {
        self.0.borrow_mut().insert(name.to_owned());
        self.1.get(name)
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        self.1.names(prefix)
    }
}

#[test]
fn the_table_holds_exactly_the_variables_that_are_read() {
    let mut asked = BTreeSet::new();
    // Two environments together reach every branch that reads.
    for variables in [
        &[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_TRACES_SAMPLER", "traceidratio")][..],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost")],
    ] {
        let spy = Spy(RefCell::default(), variables.iter().copied().collect());
        Config::resolve(&Options::default(), &spy).unwrap();
        asked.extend(spy.0.into_inner());
    }
    // Read by the fault points themselves.
    asked.insert(String::from("IRONSPAN_FAILPOINT"));
    // Read when the page is served.
    asked.insert(String::from("IRONSPAN_UI_DIR"));
    let table: BTreeSet<String> = VARIABLES.iter().map(|&(name, _)| name.to_owned()).collect();
    assert_eq!(asked, table);
    assert_eq!(table.len(), VARIABLES.len(), "a name stands twice");
    assert!(VARIABLES.iter().all(|(_, meaning)| !meaning.is_empty()));
}

const PAGE: &str = include_str!("../../docs/configuration.md");

#[test]
fn the_page_and_the_table_of_variables_agree() {
    let table: BTreeSet<&str> = VARIABLES.iter().map(|&(name, _)| name).collect();
    let is_name = |text: &&str| {
        (text.starts_with("OTEL_") || text.starts_with("IRONSPAN_") || table.contains(text))
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            && !text.ends_with('_')
    };
    // Rows begin with the name in backticks.
    let rows: BTreeSet<&str> =
        PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).filter(is_name).collect();
    let mentioned: BTreeSet<&str> = PAGE.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert_eq!(rows, table);
    assert!(mentioned.is_subset(&table), "{:?}", mentioned.difference(&table));
}

#[test]
fn the_page_lists_every_option() {
    // Without `..`: a new field stops here until it is documented.
    let Options {
        service: _,
        environment: _,
        version: _,
        resource: _,
        runtime: _,
        sample: _,
        exporters: _,
        propagators: _,
        dialects: _,
        capture: _,
        limits: _,
        store: _,
        spool: _,
        console: _,
        columns: _,
        thread_propagation: _,
        shutdown_timeout: _,
        strict: _,
        implicit: _,
    } = Options::default();
    let LimitOptions {
        attribute_value_length: _,
        attributes: _,
        events: _,
        links: _,
        event_attributes: _,
        link_attributes: _,
        depth: _,
        nodes: _,
        items: _,
        span_bytes: _,
        buffer_bytes: _,
    } = LimitOptions::default();
    let OtlpOptions {
        endpoint: _,
        traces_endpoint: _,
        protocol: _,
        headers: _,
        compression: _,
        timeout: _,
        certificate: _,
        client_certificate: _,
        client_key: _,
        insecure: _,
        allow_plain_credentials: _,
        dialects: _,
    } = OtlpOptions::default();
    // `runtime`, `columns` and `implicit` come from the binding and `thread_propagation` is called `threads` there.
    for option in [
        "service",
        "environment",
        "version",
        "resource",
        "sample",
        "exporters",
        "propagators",
        "dialects",
        "capture",
        "limits",
        "store",
        "spool",
        "console",
        "threads",
        "shutdown_timeout",
        "strict",
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
        "endpoint",
        "traces_endpoint",
        "protocol",
        "headers",
        "compression",
        "timeout",
        "certificate",
        "client_certificate",
        "client_key",
        "insecure",
        "allow_plain_credentials",
    ] {
        assert!(PAGE.lines().any(|line| line.starts_with(&format!("| `{option}`"))), "{option}");
    }
}

proptest! {
    #[test]
    fn no_environment_breaks_the_configuration(
        values in proptest::collection::vec((0..VARIABLES.len(), any::<String>()), 0..12),
    ) {
        let environment: MapEnvironment = values
            .iter()
            .filter_map(|(at, value)| Some((VARIABLES.get(*at)?.0, value.as_str())))
            .collect();
        let (config, warnings) = Config::resolve(&Options::default(), &environment).unwrap();
        prop_assert!(config.destinations.len() <= 4);
        for warning in warnings {
            let text = warning.to_string();
            prop_assert!(!text.contains(char::is_control) && text.len() < 2000, "{}", text);
        }
    }
}
