//! Variables never stop a program: whatever they hold, a configuration comes of it, each fault is told once and names its
//! variable, `strict` refuses exactly what is told as wrong, and what a variable set is within the limits it promises.
#![no_main]

use std::collections::BTreeSet;

use ironspan::config::{Config, MapEnvironment, Options, WarningKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Certificates are files: what the machine has under a name is not this target's matter.
    let variables: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| !name.contains("CERTIFICATE") && !name.contains("CLIENT_KEY"))
        .collect();
    let environment: MapEnvironment = variables.iter().copied().collect();

    let (config, warnings) = Config::resolve(&Options::default(), &environment).expect("no argument, no error");
    let again = Config::resolve(&Options::default(), &environment).expect("no argument, no error");
    assert_eq!((&config, &warnings), (&again.0, &again.1), "the same variables, the same configuration");

    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len(), "told once: {told:?}");
    assert!(told.iter().all(|line| !line.contains('\n') && line.len() < 4096), "one line each: {told:?}");

    let strict = Options { strict: true, ..Options::default() };
    let wrong = warnings.iter().any(|warning| warning.kind() == WarningKind::Wrong);
    assert_eq!(Config::resolve(&strict, &environment).is_err(), wrong, "{told:?}");

    assert!(!config.disabled || config.destinations.is_empty());
    assert!(config.shutdown_timeout.as_secs() <= 7 * 86_400 && config.run_idle.as_secs() >= 1);
    assert!(config.batch.max_export_batch_size >= 1);
    let shares = config.destinations.len();
    assert!(shares <= variables.iter().map(|(_, value)| value.len() + 1).sum::<usize>() + 1);
});
