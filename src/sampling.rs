//! Whether a new trace is kept: the standard samplers, by their `OTEL_TRACES_SAMPLER` names. The decision falls at the
//! root and travels in the sampled flag; the ratio decision depends on the trace id alone, by the same arithmetic as
//! opentelemetry-python, so that services of both kinds agree on a trace even when no flag reaches them.

use std::borrow::Cow;

use crate::context::SpanContext;
use crate::ids::TraceId;

/// Names that [`Sampler::from_name`] builds.
pub const NAMES: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Why there is no such sampler. Every message says what to write instead.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// Not a name of the OpenTelemetry specification.
    #[error("unknown sampler {0:?}; write one of {names}", names = NAMES.join(", "))]
    Unknown(String),
    /// A name of the specification whose rules live in a service that ironspan does not ask.
    #[error(
        "sampler {0:?} takes its rules from a remote service, which ironspan does not ask; write parentbased_traceidratio with a ratio as its argument"
    )]
    Remote(&'static str),
    /// A ratio that is no number from 0 to 1.
    #[error("sampling ratio {0:?} is not a number from 0 to 1; write 0.25 to keep a quarter of the traces")]
    Ratio(String),
}

/// Decides at the start of a span whether it is recorded and exported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Decides when there is no parent to follow.
    root: Root,
    /// Follow the sampled flag of a valid parent, local or remote.
    parent_based: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Root {
    On,
    Off,
    Ratio {
        ratio: f64,
        /// Keep when the lower 64 bits of the trace id are below. Of 64 + 1 bits, because a ratio of one is 2^64.
        bound: u128,
    },
}

impl Default for Sampler {
    /// `parentbased_always_on`, the default of the OpenTelemetry SDK specification.
    fn default() -> Self {
        Self { root: Root::On, parent_based: true }
    }
}

impl Sampler {
    /// The sampler behind `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` (OpenTelemetry, SDK environment
    /// variables). Case and surrounding blanks of both are ignored; without an argument the ratio is 1; samplers
    /// without a ratio ignore the argument.
    ///
    /// # Errors
    ///
    /// [`SamplerError`]; to behave as the specification asks for after a bad argument, call again without it.
    pub fn from_name(name: &str, arg: Option<&str>) -> Result<Self, SamplerError> {
        let normalised = name.trim().to_ascii_lowercase();
        let (base, parent_based) = match normalised.strip_prefix("parentbased_") {
            Some(base) => (base, true),
            None => (normalised.as_str(), false),
        };
        let root = match base {
            "always_on" => Root::On,
            "always_off" => Root::Off,
            "traceidratio" => match arg.map(str::trim).filter(|arg| !arg.is_empty()) {
                Some(text) => Root::ratio(text.parse().map_err(|_| SamplerError::Ratio(text.into()))?)?,
                None => Root::ratio(1.0)?,
            },
            "jaeger_remote" if parent_based => {
                return Err(SamplerError::Remote("parentbased_jaeger_remote"));
            }
            "jaeger_remote" => return Err(SamplerError::Remote("jaeger_remote")),
            "xray" if !parent_based => return Err(SamplerError::Remote("xray")),
            _ => return Err(SamplerError::Unknown(name.into())),
        };
        Ok(Self { root, parent_based })
    }

    /// The sampler of `init(sample=ratio)`: follows a parent, otherwise keeps that share of the traces.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Ratio`] outside 0..=1 and for NaN.
    pub fn from_ratio(ratio: f64) -> Result<Self, SamplerError> {
        let root = if ratio.to_bits() == 1.0_f64.to_bits() { Root::On } else { Root::ratio(ratio)? };
        Ok(Self { root, parent_based: true })
    }

    /// Whether to record a span of `trace_id` under `parent`. A parent with a zero id counts as none.
    #[inline]
    #[must_use]
    pub fn decide(&self, parent: Option<&SpanContext>, trace_id: TraceId) -> bool {
        if self.parent_based
            && let Some(parent) = parent
            && parent.is_valid()
        {
            return parent.sampled();
        }
        match self.root {
            Root::On => true,
            Root::Off => false,
            Root::Ratio { bound, .. } => u128::from(trace_id.low_u64()) < bound,
        }
    }

    /// Whether to record a root whose sender decided on sampling without naming a trace (B3 `b3: 0`): samplers that
    /// follow a parent follow this too. `deferred` is what the propagator read; `None` is an ordinary root.
    #[inline]
    #[must_use]
    pub fn decide_root(&self, deferred: Option<bool>, trace_id: TraceId) -> bool {
        match deferred {
            Some(decision) if self.parent_based => decision,
            _ => self.decide(None, trace_id),
        }
    }

    /// The answer when it is the same for every span, so that callers can skip the question.
    #[must_use]
    pub fn constant(&self) -> Option<bool> {
        if self.parent_based {
            return None;
        }
        match self.root {
            Root::On => Some(true),
            Root::Off | Root::Ratio { bound: 0, .. } => Some(false),
            Root::Ratio { bound, .. } if bound > u128::from(u64::MAX) => Some(true),
            Root::Ratio { .. } => None,
        }
    }

    /// Whether a span without a parent is never recorded, whatever its trace id.
    #[must_use]
    pub fn never_starts(&self) -> bool {
        matches!(self.root, Root::Off | Root::Ratio { bound: 0, .. })
    }

    /// The text of the OpenTelemetry SDK specification (`GetDescription`), for diagnostics.
    #[must_use]
    pub fn description(&self) -> Cow<'static, str> {
        let root: Cow<'static, str> = match self.root {
            Root::On => "AlwaysOnSampler".into(),
            Root::Off => "AlwaysOffSampler".into(),
            Root::Ratio { ratio, .. } => format!("TraceIdRatioBased{{{ratio}}}").into(),
        };
        if self.parent_based { format!("ParentBased{{root:{root}}}").into() } else { root }
    }
}

impl Root {
    fn ratio(ratio: f64) -> Result<Self, SamplerError> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(SamplerError::Ratio(ratio.to_string()));
        }
        // Scaling by a power of two is exact and ties round to even, as in Python's round().
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 2^64 after the check above"
        )]
        let bound = (ratio * 2_f64.powi(64)).round_ties_even() as u128;
        Ok(Self::Ratio { ratio, bound })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::ids::{SpanId, generate_trace_id};

    fn sampler(name: &str, arg: Option<&str>) -> Sampler {
        Sampler::from_name(name, arg).unwrap()
    }

    fn parent(flags: u8) -> SpanContext {
        SpanContext::new(TraceId::from_u128(7), SpanId::from_u64(7), flags)
    }

    /// Decisions without a parent, with an unsampled and with a sampled one.
    fn decisions(sampler: Sampler) -> [bool; 3] {
        let trace = TraceId::from_u128(u128::from(u64::MAX));
        [None, Some(parent(2)), Some(parent(3))].map(|parent| sampler.decide(parent.as_ref(), trace))
    }

    #[test]
    fn standard_samplers_decide_as_the_specification_says() {
        for (name, arg, expected, constant) in [
            ("always_on", None, [true; 3], Some(true)),
            ("always_off", None, [false; 3], Some(false)),
            ("traceidratio", None, [true; 3], Some(true)),
            ("traceidratio", Some("0"), [false; 3], Some(false)),
            ("traceidratio", Some("0.5"), [false; 3], None),
            ("parentbased_always_on", None, [true, false, true], None),
            ("parentbased_always_off", Some("ignored"), [false, false, true], None),
            ("parentbased_traceidratio", Some("0.5"), [false, false, true], None),
            ("parentbased_traceidratio", None, [true, false, true], None),
            (" ParentBased_Always_ON ", Some(""), [true, false, true], None),
        ] {
            let sampler = sampler(name, arg);
            assert_eq!(decisions(sampler), expected, "{name} {arg:?}");
            assert_eq!(sampler.constant(), constant, "{name} {arg:?}");
        }
        assert_eq!(Sampler::default(), sampler("parentbased_always_on", None));
    }

    #[test]
    fn every_listed_name_is_built() {
        for name in NAMES {
            assert!(Sampler::from_name(name, None).is_ok(), "{name}");
        }
    }

    /// Bounds computed with opentelemetry-python's `round(rate * 2**64)`.
    #[test]
    fn ratio_bounds_equal_those_of_opentelemetry_python() {
        for (ratio, bound) in [
            (0.0, 0_u128),
            (1e-20, 0),
            (0.1, 1_844_674_407_370_955_264),
            (0.25, 1 << 62),
            (0.5, 1 << 63),
            (0.999, 18_428_297_329_635_842_048),
            (1.0, 1 << 64),
        ] {
            let found = Root::ratio(ratio).unwrap();
            assert!(matches!(found, Root::Ratio { bound: b, .. } if b == bound), "{ratio}: {found:?}");
        }
    }

    #[test]
    fn the_ratio_looks_at_the_lower_half_of_the_trace_id_only() {
        let half = sampler("traceidratio", Some("0.5"));
        for (id, kept) in [
            (0x0000_0000_0000_0000_7fff_ffff_ffff_ffff_u128, true),
            (0xffff_ffff_ffff_ffff_7fff_ffff_ffff_ffff, true),
            (0xffff_ffff_ffff_ffff_8000_0000_0000_0000, false),
            (0x0000_0000_0000_0001_ffff_ffff_ffff_ffff, false),
        ] {
            assert_eq!(half.decide(None, TraceId::from_u128(id)), kept, "{id:032x}");
        }
    }

    /// 20 000 draws at a quarter: 5000 expected, standard deviation 61.
    #[test]
    fn random_traces_are_kept_in_the_asked_share() {
        let quarter = Sampler::from_ratio(0.25).unwrap();
        let kept = (0..20_000).filter(|_| quarter.decide(None, generate_trace_id())).count();
        assert!((4300..=5700).contains(&kept), "{kept}");
    }

    #[test]
    fn a_parent_with_a_zero_id_is_no_parent() {
        let invalid = SpanContext { trace_id: TraceId::INVALID, ..parent(1) };
        assert!(!sampler("parentbased_always_off", None).decide(Some(&invalid), TraceId::from_u128(1)));
    }

    #[test]
    fn a_decision_without_ids_binds_samplers_that_follow_a_parent() {
        let id = TraceId::from_u128(1);
        assert!(!Sampler::default().decide_root(Some(false), id));
        assert!(Sampler::default().decide_root(None, id));
        assert!(sampler("parentbased_always_off", None).decide_root(Some(true), id));
        assert!(sampler("always_on", None).decide_root(Some(false), id));
    }

    #[test]
    fn bad_ratios_are_refused_with_the_value_and_the_cure() {
        for ratio in [-0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            assert!(matches!(Sampler::from_ratio(ratio), Err(SamplerError::Ratio(_))), "{ratio}");
        }
        let text = Sampler::from_name("traceidratio", Some("half")).unwrap_err().to_string();
        assert!(text.contains("\"half\"") && text.contains("0.25"), "{text}");
        assert!(Sampler::from_name("traceidratio", Some("1.5")).is_err());
    }

    #[test]
    fn remote_and_unknown_names_say_what_to_write_instead() {
        for name in ["jaeger_remote", "parentbased_jaeger_remote", "xray"] {
            let error = Sampler::from_name(name, None).unwrap_err();
            assert_eq!(error, SamplerError::Remote(name));
            assert!(error.to_string().contains("remote service"), "{error}");
            assert!(error.to_string().contains("parentbased_traceidratio"), "{error}");
        }
        for name in ["", "sometimes", "parentbased_", "parentbased_xray", "parentbased_parentbased_always_on"] {
            let error = Sampler::from_name(name, None).unwrap_err();
            assert!(matches!(error, SamplerError::Unknown(_)), "{name}");
            assert!(error.to_string().contains("always_on, always_off, traceidratio"), "{error}");
        }
    }

    #[test]
    fn descriptions_name_the_root_and_its_ratio() {
        assert_eq!(sampler("always_on", None).description(), "AlwaysOnSampler");
        assert_eq!(Sampler::from_ratio(0.25).unwrap().description(), "ParentBased{root:TraceIdRatioBased{0.25}}");
        assert_eq!(Sampler::from_ratio(1.0).unwrap(), Sampler::default());
    }
}
