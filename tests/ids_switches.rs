//! The process-wide switches of `ids`, in a process of their own: other tests draw ids at the same time and must not see
//! them. One test, because the switches are shared.

use ironspan::{fork, ids};

#[test]
fn switches_replace_the_generator_and_give_it_back() {
    let first = ids::generate_trace_id();
    assert!(ids::trace_ids_are_random());

    ids::set_incremental(Some(1));
    let counted: Vec<_> = (0..3).map(|_| ids::generate_span_id().to_u64()).collect();
    assert_eq!(counted, [1, 2, 3]);
    assert_eq!(ids::generate_trace_id().to_string(), "00000000000000000000000000000001");
    assert_eq!(ids::generate_trace_id().to_u128(), 2);
    assert!(!ids::trace_ids_are_random());

    ids::set_os_entropy(true);
    assert_eq!(ids::generate_span_id().to_u64(), 4, "counting wins over the OS");

    ids::set_incremental(Some(0));
    assert_eq!(ids::generate_span_id().to_u64(), 1, "zero is never an id");
    ids::set_incremental(Some(u64::MAX));
    assert_eq!(ids::generate_span_id().to_u64(), u64::MAX);
    assert_eq!(ids::generate_span_id().to_u64(), 1, "also not when the counter wraps");

    ids::set_incremental(None);
    let (a, b) = (ids::generate_trace_id(), ids::generate_trace_id());
    assert!(a != b && a.to_u128() > 1000, "from the OS again: {a} {b}");

    ids::set_os_entropy(false);
    let epoch = fork::epoch();
    fork::bump();
    assert_eq!(fork::epoch(), epoch + 1);
    let after = ids::generate_trace_id();
    assert!(after.is_valid() && after != first && after != a && after != b);
    assert!(ids::trace_ids_are_random());
}
