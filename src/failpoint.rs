//! Named points at which the fault tests make the pipeline panic, fail or stall: `IRONSPAN_FAILPOINT=<where>[:<what>]`,
//! where `<what>` is `panic` (the default), `error` or `delay`. Only in builds with the crate feature `failpoints`.

/// Acts when this point is the one that `IRONSPAN_FAILPOINT` names: panics, or stalls the thread for half a second, or
/// is true so that the caller fails. Without the feature it is the constant false.
macro_rules! failpoint {
    ($place:literal) => {{
        #[cfg(feature = "failpoints")]
        let failed = $crate::failpoint::hit($place);
        #[cfg(not(feature = "failpoints"))]
        let failed = false;
        failed
    }};
}

pub(crate) use failpoint;

/// What happens at a failpoint.
#[cfg(feature = "failpoints")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Panic,
    Error,
    Delay,
}

#[cfg(feature = "failpoints")]
fn parse(text: &str) -> Option<(&str, Action)> {
    let (place, action) = text.rsplit_once(':').unwrap_or((text, "panic"));
    let action = match action {
        "panic" => Action::Panic,
        "error" => Action::Error,
        "delay" => Action::Delay,
        _ => return None,
    };
    Some((place, action))
}

/// See [`failpoint!`].
#[cfg(feature = "failpoints")]
#[expect(clippy::panic, reason = "what the fault tests ask for")]
pub(crate) fn hit(place: &str) -> bool {
    static SETTING: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let setting = SETTING.get_or_init(|| std::env::var("IRONSPAN_FAILPOINT").ok());
    match setting.as_deref().and_then(parse).filter(|(named, _)| *named == place) {
        None => false,
        Some((_, Action::Error)) => true,
        Some((_, Action::Panic)) => panic!("failpoint {place}"),
        Some((_, Action::Delay)) => {
            std::thread::sleep(std::time::Duration::from_millis(500));
            false
        }
    }
}

#[cfg(all(test, feature = "failpoints"))]
mod tests {
    use super::*;

    #[test]
    fn a_setting_names_a_place_and_what_happens_there() {
        assert_eq!(parse("otlp.send"), Some(("otlp.send", Action::Panic)));
        assert_eq!(parse("otlp.send:error"), Some(("otlp.send", Action::Error)));
        assert_eq!(parse("otlp.send:delay"), Some(("otlp.send", Action::Delay)));
        assert_eq!(parse("otlp.send:explode"), None);
    }
}
