//! Environment variables as a carrier (OpenTelemetry specification, environment variable carriers): a parent process
//! hands its context to a child in `TRACEPARENT`, `TRACESTATE` and `BAGGAGE`. Read once at start; written only into a
//! copy of the environment made for a child, never into the process's own.

use std::collections::HashMap;

use super::{Carrier, Propagators};
use crate::context::{Baggage, SpanContext};

/// The variable name for a header name: upper case, everything outside `[A-Z0-9_]` becomes `_`, a leading digit gets a
/// `_` in front, and the empty name is `_`.
#[must_use]
pub fn normalise(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 1);
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }));
    out
}

/// Variables to extract from. Names are matched exactly in their normalised form: `traceparent` is another variable than
/// `TRACEPARENT`. Values are passed on unchecked.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: HashMap<String, String>,
}

impl Environment {
    /// The variables of this process that `propagators` read. Only those are copied: the environment is full of secrets.
    #[must_use]
    pub fn of_process(propagators: &Propagators) -> Self {
        let names = propagators.fields().into_iter().map(normalise);
        names
            .filter_map(|name| std::env::var_os(&name).map(|value| (name, value.to_string_lossy().into_owned())))
            .collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self { variables: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

impl Carrier for Environment {
    fn get_all(&self, name: &str, each: &mut dyn FnMut(&str)) {
        if let Some(value) = self.variables.get(&normalise(name)) {
            each(value);
        }
    }

    fn keys(&self, each: &mut dyn FnMut(&str)) {
        self.variables.keys().for_each(|name| each(name));
    }
}

/// Writes the context for a child: first calls `set` with `None` for each variable that could hold an older context,
/// then with the values of this one. Returns what [`Propagators::inject`] does.
pub fn inject(
    propagators: &Propagators,
    context: Option<&SpanContext>,
    baggage: &Baggage,
    set: &mut dyn FnMut(&str, Option<String>),
) -> usize {
    for field in propagators.fields() {
        set(&normalise(field), None);
    }
    propagators.inject(context, baggage, &mut |name, value| {
        set(&normalise(name), Some(value));
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::propagation::Extracted;
    use crate::propagation::support::{context, set};

    #[test]
    fn variable_names_are_normalised() {
        for (name, variable) in [
            ("traceparent", "TRACEPARENT"),
            ("X-B3-TraceId", "X_B3_TRACEID"),
            ("9a.b", "_9A_B"),
            ("", "_"),
            ("_x", "_X"),
            ("\u{e9}", "_"),
        ] {
            assert_eq!(normalise(name), variable);
        }
    }

    #[test]
    fn a_child_environment_holds_the_new_context_and_nothing_of_an_older_one() {
        let mut child: std::collections::BTreeMap<String, String> =
            [("PATH", "/bin"), ("TRACEPARENT", "old"), ("TRACESTATE", "old=1"), ("BAGGAGE", "old=1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        let baggage = Baggage::new().with("user", "a b");
        inject(&Propagators::default(), Some(&context(3)), &baggage, &mut |name, value| match value {
            Some(value) => drop(child.insert(name.to_owned(), value)),
            None => drop(child.remove(name)),
        });
        assert_eq!(child.keys().collect::<Vec<_>>(), ["BAGGAGE", "PATH", "TRACEPARENT"]);
        let found = Propagators::default().extract(&child.into_iter().collect::<Environment>(), None);
        assert_eq!(found, Extracted { context: Some(context(3)), baggage: Some(baggage), deferred: None });
    }

    #[test]
    fn the_process_environment_is_read_by_the_configured_fields_only() {
        // No test may set variables of its own process: other threads read them. An absent one is all there is to see.
        let environment = Environment::of_process(&set(&["xray"]));
        let mut names = Vec::new();
        environment.keys(&mut |name| names.push(name.to_owned()));
        assert!(names.iter().all(|name| name == "X_AMZN_TRACE_ID"), "{names:?}");
    }
}
