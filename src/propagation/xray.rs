//! AWS X-Ray: `X-Amzn-Trace-Id: Root=1-{8 hex}-{24 hex};Parent={16 hex};Sampled={0|1}`. Fields come in any order and
//! with others (`Self`, `Lineage`), which are passed over.

use super::syntax::trim_ows;
use super::{Carrier, single_value};
use crate::context::SpanContext;
use crate::ids::{SpanId, TraceId};

/// The header name.
pub const HEADER: &str = "x-amzn-trace-id";

/// Longest value that is looked at.
const MAX_LENGTH: usize = 1024;

/// Reads a value. A load balancer sends `Root` alone; without `Parent` there is no span to continue, hence `None`.
/// `Sampled=?`, which leaves the decision to the receiver, reads as not sampled.
#[must_use]
pub fn parse(value: &str) -> Option<SpanContext> {
    let value = trim_ows(value);
    if value.len() > MAX_LENGTH {
        return None;
    }
    let (mut trace_id, mut span_id, mut flags) = (None, None, 0);
    for field in value.split(';').map(trim_ows).filter(|field| !field.is_empty()) {
        match field.split_once('=')? {
            ("Root", root) => trace_id = Some(parse_root(root)?),
            ("Parent", parent) => span_id = Some(parent.parse::<SpanId>().ok()?),
            ("Sampled", "1") => flags = SpanContext::SAMPLED,
            ("Sampled", "0" | "?") => flags = 0,
            ("Sampled", _) => return None,
            _ => {}
        }
    }
    let context = SpanContext { remote: true, ..SpanContext::new(trace_id?, span_id?, flags) };
    context.is_valid().then_some(context)
}

/// `1-{8 hex}-{24 hex}`: version, start time and random part; together the trace id.
fn parse_root(root: &str) -> Option<TraceId> {
    let (time, random) = root.strip_prefix("1-")?.split_once('-')?;
    if time.len() != 8 {
        return None;
    }
    format!("{time}{random}").parse().ok()
}

pub(super) fn extract(carrier: &dyn Carrier) -> Option<SpanContext> {
    parse(&single_value(carrier, HEADER)?)
}

pub(super) fn inject(context: &SpanContext, set: &mut dyn FnMut(&str, String)) {
    let trace = context.trace_id.to_string();
    let Some((time, random)) = trace.split_at_checked(8) else {
        return;
    };
    let sampled = u8::from(context.sampled());
    set(HEADER, format!("Root=1-{time}-{random};Parent={};Sampled={sampled}", context.span_id));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::context::Baggage;
    use crate::propagation::support::set;

    #[test]
    fn xray_is_read_in_any_order_and_written_in_the_usual_one() {
        let (root, parent) = ("Root=1-5759e988-bd862e3fe1be46a994272793", "Parent=53995c3f42cd8ad8");
        let read = |text: &str| parse(text);
        let sampled = read(&format!("{root};{parent};Sampled=1")).unwrap();
        assert_eq!(sampled.trace_id.to_string(), "5759e988bd862e3fe1be46a994272793");
        assert!(sampled.sampled() && sampled.remote);
        assert_eq!(read(&format!("Sampled=1; {parent} ;Lineage=1:2:3;{root};Self=x")), Some(sampled.clone()));
        assert!(!read(&format!("{root};{parent};Sampled=?")).unwrap().sampled());
        assert!(!read(&format!("{root};{parent}")).unwrap().sampled());
        for bad in [
            String::new(),
            root.into(),
            parent.into(),
            format!("{root};{parent};Sampled=2"),
            format!("{root};{parent};nonsense"),
            format!("Root=2-5759e988-bd862e3fe1be46a994272793;{parent}"),
            format!("Root=1-5759e98-8bd862e3fe1be46a994272793;{parent}"),
            format!("Root=1-5759E988-bd862e3fe1be46a994272793;{parent}"),
            format!("{root};{parent};{}", "x=y;".repeat(400)),
        ] {
            assert_eq!(read(&bad), None, "{bad:.80}");
        }
        let mut sent = Vec::new();
        set(&["xray"]).inject(Some(&sampled), &Baggage::new(), &mut |name, value| {
            sent.push((name.to_owned(), value));
        });
        assert_eq!(sent, [("x-amzn-trace-id".to_owned(), format!("{root};{parent};Sampled=1"))]);
    }
}
