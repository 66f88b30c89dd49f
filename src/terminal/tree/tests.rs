//! Trees by their look: most tests compare rendered text.

#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::finished::OwnedValue;
use crate::sinks::Destination;
use crate::sinks::testing::{Made, delivery, ledger, span};
use crate::terminal::line::Screen;
use crate::terminal::render::{render_headline, render_tree};
use crate::terminal::text::width;

const WIDE: Screen = Screen { columns: 118, unicode: true, colour: false };
/// Too narrow for bars.
const NARROW: Screen = Screen { columns: 60, unicode: true, colour: false };

fn steps(made: &[Made]) -> Vec<Step> {
    let delivery = delivery(made, &Arc::new(Destination::new("console", 0)), ledger());
    let steps = delivery.spans().map(|span| Step::from_span(&span).0).collect();
    delivery.delivered();
    steps
}

/// The tree of steps whose last one is the root.
fn tree(made: &[Made], screen: Screen) -> String {
    let steps = steps(made);
    render_tree(&Tree::new(&steps, steps.len().checked_sub(1)), &steps, screen)
}

fn headline(made: &[Made], screen: Screen) -> String {
    let steps = steps(made);
    let session = Some(Box::from("sess-demo"));
    let id = TraceId::from_u128(0x8898_105f_0000_0000_0000_0000_0000_0001);
    render_headline(&summarise(id, &steps, steps.len().checked_sub(1), session), screen)
}

fn call(made: Made, model: &str, tokens: i64, usd: f64) -> Made {
    made.kind(Kind::Generation)
        .text("gen_ai.request.model", model)
        .with("gen_ai.usage.input_tokens", OwnedValue::Int(tokens))
        .with("gen_ai.usage.cost", OwnedValue::Float(usd))
}

/// The workflow of the design's picture. Spans in the order in which they end.
fn demo() -> Vec<Made> {
    vec![
        call(span(3, 2, "plan", 0, 1180), "gpt-4o", 508, 0.002),
        span(5, 4, "web_search", 1200, 2000).kind(Kind::Tool).failed("web_search timed out after 0.8 s\nTraceback"),
        span(6, 4, "web_search", 2000, 2800).kind(Kind::Tool).failed("web_search timed out after 0.8 s"),
        span(7, 4, "web_search", 2800, 3530).kind(Kind::Tool),
        call(span(8, 4, "summarise", 3600, 5290), "gpt-4o-mini", 1596, 0.0003),
        span(4, 2, "invoke_agent researcher", 1190, 5500).kind(Kind::Agent),
        call(span(10, 9, "write_code", 1190, 3640), "gpt-4o", 1195, 0.007),
        span(11, 9, "run_python", 3650, 4970).kind(Kind::Tool).failed("No module named 'tqdm'"),
        call(span(12, 9, "fix_code", 4980, 5960), "gpt-4o", 1450, 0.0046),
        span(13, 9, "run_python", 5970, 7350).kind(Kind::Tool),
        span(9, 2, "coder", 1191, 7380).kind(Kind::Agent),
        call(span(14, 2, "synthesise", 7400, 8940), "gpt-4o", 2374, 0.0072),
        span(15, 2, "faithfulness_check", 8950, 9340).kind(Kind::Evaluator),
        span(2, 1, "manager", 0, 9400).kind(Kind::Agent),
        span(1, 0, "support_workflow", 0, 9420).kind(Kind::Workflow),
    ]
}

#[test]
fn a_workflow_looks_as_designed() {
    let expected = "\
○ support_workflow                                           ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  9.42 s
└─ ● manager                                                 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  9.40 s
   ├─ ◆ plan gpt-4o                                          ━━━━━·····························  1.18 s   508  $0.0020
   ├─ ● researcher                                           ····━━━━━━━━━━━━━━━━··············  4.31 s
   │  ├─ ⚙ web_search ×3 (2 failed: web_search timed out a…  ····━━━━━━━━━·····················  2.33 s
   │  └─ ◆ summarise gpt-4o-mini                             ············━━━━━━━━··············  1.69 s  1596  $0.0003
   ├─ ● coder                                                ····━━━━━━━━━━━━━━━━━━━━━━━·······  6.19 s
   │  ├─ ◆ write_code gpt-4o                                 ····━━━━━━━━━━····················  2.45 s  1195  $0.0070
   │  ├─ ⚙ run_python ✗ No module named 'tqdm'               ·············━━━━━················  1.32 s
   │  ├─ ◆ fix_code gpt-4o                                   ·················━━━━━············  980 ms  1450  $0.0046
   │  └─ ⚙ run_python                                        ·····················━━━━━━·······  1.38 s
   ├─ ◆ synthesise gpt-4o                                    ··························━━━━━━━·  1.54 s  2374  $0.0072
   └─ ✓ faithfulness_check                                   ································━━  390 ms
";
    let made = demo();
    assert_eq!(tree(&made, WIDE), expected);
    assert_eq!(
        headline(&made, Screen { columns: 130, ..WIDE }),
        "support_workflow  OK  3 errors recovered   9.42 s   $0.0211   7,123 tok   15 spans   3 agents   \
         session sess-demo   8898105"
    );
}

#[test]
fn ascii_says_the_same() {
    let screen = Screen { columns: 80, unicode: false, colour: false };
    let made = [
        span(2, 1, "caf\u{e9}", 0, 5).kind(Kind::Tool).failed("boom"),
        span(3, 1, "ask", 5, 10).kind(Kind::Agent),
        span(1, 0, "run", 0, 10).outcome(Outcome::Cancelled),
    ];
    let expected = "\
o run cancelled        ==============  10 ms
|- + caf\\u{e9} x boom  =======.......   5 ms
`- @ ask               .......=======   5 ms
";
    assert_eq!(tree(&made, screen), expected);
}

#[test]
fn colours_are_added_and_change_nothing_else() {
    let made = demo();
    let coloured = tree(&made, Screen { colour: true, ..WIDE });
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&plain), trimmed(&tree(&made, WIDE)));
    assert!(coloured.contains("\x1b[31m ✗ No module named 'tqdm'\x1b[0m"));
    let line = headline(&made, Screen { colour: true, ..WIDE });
    assert!(line.contains("\x1b[32mOK\x1b[0m") && line.contains("\x1b[33m  3 errors recovered\x1b[0m"), "{line:?}");
}

#[test]
fn a_failed_trace_says_so_and_counts_causes_once() {
    let made = [
        span(3, 2, "search", 0, 4).kind(Kind::Tool).failed("down"),
        span(2, 1, "researcher", 0, 5).kind(Kind::Agent).failed("search: down"),
        span(1, 0, "run", 0, 5).kind(Kind::Workflow).failed("search: down"),
    ];
    let line = headline(&made, WIDE);
    assert!(line.starts_with("run  FAILED  1 error   5 ms   3 spans   1 agent   session"), "{line}");
}

#[test]
fn a_narrow_headline_keeps_the_id() {
    let line = headline(&demo(), Screen { columns: 48, ..WIDE });
    assert_eq!(line, "support_workf…  OK  3 errors recovered   8898105");
    assert_eq!(width(&line), 48);
}

#[test]
fn the_deepest_usage_counts_and_not_its_repetition_above() {
    let made = [
        call(span(3, 2, "chat", 0, 1), "m", 100, 0.5),
        call(span(2, 1, "agent", 0, 1), "m", 100, 0.5).kind(Kind::Agent),
        call(span(1, 0, "run", 0, 1), "m", 100, 0.5).kind(Kind::Workflow),
    ];
    assert!(headline(&made, WIDE).contains("   $0.5000   100 tok   "), "{}", headline(&made, WIDE));
}

#[test]
fn two_equal_steps_are_folded_only_if_one_failed() {
    let root = span(1, 0, "run", 0, 9);
    let tool = |id, start| span(id, 1, "t", start, start + 1).kind(Kind::Tool);
    assert_eq!(tree(&[tool(2, 0), tool(3, 1), root.clone()], NARROW).lines().count(), 3);
    let folded = tree(&[tool(2, 0).failed("no"), tool(3, 1), root.clone()], NARROW);
    assert!(folded.contains("└─ ⚙ t ×2 (1 failed: no)"), "{folded}");
    let other = tree(&[tool(2, 0), tool(3, 1).kind(Kind::Agent), tool(4, 2), root], NARROW);
    assert_eq!(other.lines().count(), 4, "{other}");
}

#[test]
fn orphans_and_loops_stand_under_the_root_with_a_mark() {
    let made = [
        span(3, 77, "lost", 2, 3),
        span(4, 3, "child of lost", 2, 3),
        span(5, 6, "loop a", 4, 5),
        span(6, 5, "loop b", 4, 5),
        span(7, 7, "own parent", 6, 7),
        span(2, 1, "child", 0, 1),
        span(1, 0, "run", 0, 9),
    ];
    let expected = "\
○ run                              9 ms
├─ ○ child                         1 ms
├─ ○ lost (parent not seen)        1 ms
│  └─ ○ child of lost              1 ms
├─ ○ own parent (parent not seen)  1 ms
└─ ○ loop a (parent not seen)      1 ms
   └─ ○ loop b                     1 ms
";
    assert_eq!(tree(&made, NARROW), expected);
}

#[test]
fn without_a_root_everything_known_is_shown() {
    let steps = steps(&[span(3, 2, "b", 1, 2), span(2, 1, "a", 0, 4), span(4, 1, "c", 5, 6).failed("x")]);
    let expected = "\
○ a (parent not seen)      4 ms
└─ ○ b                     1 ms
○ c ✗ x (parent not seen)  1 ms
";
    assert_eq!(render_tree(&Tree::new(&steps, None), &steps, NARROW), expected);
    let summary = summarise(TraceId::from_u128(1), &steps, None, None);
    assert_eq!((summary.state, &*summary.name, summary.duration), (State::Unfinished, "a", 6_000_000));
}

/// 40 agents of three steps each; the 33rd has a failing tool.
fn many() -> Vec<Made> {
    let mut made = Vec::new();
    for agent in 0..40_u64 {
        let id = 1000 + agent * 10;
        made.push(span(id + 1, id, "think", agent * 10, agent * 10 + 1).kind(Kind::Generation));
        let tool = span(id + 2, id, "look up", agent * 10 + 1, agent * 10 + 2).kind(Kind::Tool);
        made.push(if agent == 33 { tool.failed("boom") } else { tool });
        made.push(span(id, 1, &format!("agent {agent}"), agent * 10, agent * 10 + 3).kind(Kind::Agent));
    }
    made.push(span(1, 0, "run", 0, 400).kind(Kind::Workflow));
    made
}

#[test]
fn healthy_subtrees_are_collapsed_and_counted_and_errors_stay() {
    let text = tree(&many(), NARROW);
    assert!(text.lines().count() <= MAX_ROWS + 1, "{text}");
    assert!(text.contains("✗ boom") && text.contains("● agent 33"), "{text}");
    let rows = Tree::new(&steps(&many()), Some(120));
    assert_eq!(rows.rows.iter().map(Row::steps).sum::<usize>() + rows.cut, 121);
    assert_eq!(rows.cut, 0);
    let footer = text.lines().last().unwrap();
    assert_eq!(footer, format!("{} spans of 121 shown, the rest went well", 121 - rows.hidden()));
    assert!(rows.hidden() < 90, "{footer}");
}

#[test]
fn a_wide_flat_trace_shows_its_first_steps_and_every_error() {
    let mut made: Vec<_> = (0..5000_u64).map(|at| span(at + 2, 1, &format!("step {at}"), at, at + 1)).collect();
    *made.get_mut(4321).unwrap() = span(4323, 1, "step 4321", 4321, 4322).failed("boom");
    made.push(span(1, 0, "run", 0, 5000));
    let text = tree(&made, NARROW);
    assert!(text.contains("○ step 0 ") && text.contains("step 4321 ✗ boom"), "{text}");
    assert!(text.contains("└─ … 4,983 more, all well"), "{text}");
    assert!(text.ends_with("18 spans of 5,001 shown, the rest went well\n"), "{text}");
}

#[test]
fn more_errors_than_rows_are_cut_and_counted() {
    let mut made: Vec<_> = (0..500_u64).map(|at| span(at + 2, 1, &format!("s{at}"), at, at + 1).failed("x")).collect();
    made.push(span(1, 0, "run", 0, 500));
    let text = tree(&made, NARROW);
    assert_eq!(text.lines().count(), MAX_ROWS + 1);
    assert!(text.ends_with("60 spans of 501 shown, the rest did not fit\n"), "{text}");
}

#[test]
fn a_chain_of_ten_thousand_neither_overflows_nor_outgrows_the_screen() {
    let mut made: Vec<_> = (2..10_000_u64).rev().map(|at| span(at, at - 1, "down", at, 20_000 - at)).collect();
    made.push(span(1, 0, "run", 0, 20_000));
    let text = tree(&made, NARROW);
    assert!(text.lines().count() <= MAX_ROWS + 1);
    assert!(text.lines().all(|line| width(line) <= 60), "{text}");
    assert!(text.contains("⋯ ") && text.contains("below"), "{text}");
}

#[test]
fn a_trace_without_duration_has_bars_all_the_same() {
    let text = tree(&[span(2, 1, "a", 5, 5), span(1, 0, "run", 5, 5)], Screen { columns: 80, ..WIDE });
    assert!(text.lines().all(|line| line.contains('━')), "{text}");
    assert_eq!(render_tree(&Tree::new(&[], None), &[], WIDE), "");
}

fn any_made() -> impl Strategy<Value = Made> {
    (0..12_u64, 0..12_u64, "\\PC{0,12}", 0..50_u64, 0..50_u64, 0..6_usize, any::<bool>()).prop_map(
        |(id, parent, name, start, length, kind, fails)| {
            let made = span(id + 1, parent, &name, start, start + length);
            let made = made.kind(Kind::ALL.get(kind).copied().unwrap_or_default());
            if fails { made.failed(&name) } else { made }
        },
    )
}

proptest! {
    #[test]
    fn any_steps_stand_in_exactly_one_row_and_fit(
        made in proptest::collection::vec(any_made(), 1..150),
        columns in 0_usize..250,
        unicode: bool,
        has_root: bool,
    ) {
        let steps = steps(&made);
        let root = has_root.then(|| steps.len() - 1);
        let tree = Tree::new(&steps, root);
        prop_assert!(tree.rows.len() <= MAX_ROWS);
        prop_assert_eq!(tree.rows.iter().map(Row::steps).sum::<usize>() + tree.cut, steps.len());
        let screen = Screen { columns, unicode, colour: false };
        let text = render_tree(&tree, &steps, screen);
        for line in text.lines() {
            prop_assert!(width(line) <= columns.clamp(40, 200), "{}", line);
            prop_assert!(unicode || line.is_ascii());
        }
        prop_assert_eq!(text.lines().count(), tree.rows.len() + usize::from(tree.hidden() > 0));
        let summary = summarise(TraceId::from_u128(1), &steps, root, None);
        prop_assert!(width(&render_headline(&summary, screen)) <= columns.clamp(40, 200));
    }
}
