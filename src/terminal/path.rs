//! The critical path of a trace: the chain of steps that decided how long it took.
//!
//! Read backwards from the root's end: of the children, the one that ended last held everything up until it ended, then
//! the one that ended last before that one began, and so on; inside each of them the same. What ran beside the chain
//! could have been slower without anybody noticing.

use std::collections::HashMap;

use crate::ids::SpanId;
use crate::terminal::line::{Line, Screen, Style};
use crate::terminal::step::Step;
use crate::terminal::text::width;

/// The steps of the path that have no step of the path below them, by their places in the list, in the order of time.
/// `root` is the place of the step above all others.
#[must_use]
pub fn critical_path(steps: &[Step], root: usize) -> Vec<usize> {
    let mut children: HashMap<SpanId, Vec<usize>> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        if let Some(parent) = step.parent.filter(|_| at != root) {
            children.entry(parent).or_default().push(at);
        }
    }
    for family in children.values_mut() {
        family.sort_by_key(|&at| steps.get(at).map(|step| (step.end, step.start)));
    }
    let mut seen = vec![false; steps.len()];
    let mut path = Vec::new();
    // Each entry: a step, and the time after which nothing of it matters. The last in time is on top.
    let mut open = steps.get(root).map(|step| vec![(root, step.end)]).unwrap_or_default();
    while let Some((at, until)) = open.pop() {
        let Some(step) = steps.get(at) else { continue };
        // A loop of parents, or an id that occurs twice, is walked once.
        if seen.get_mut(at).is_none_or(|seen| std::mem::replace(seen, true)) {
            continue;
        }
        let mut until = until.min(step.end);
        let mut chain = Vec::new();
        for &child in children.get(&step.id).into_iter().flatten().rev() {
            let Some(below) = steps.get(child) else { continue };
            // One that ended later ran beside what is on the path already, or outlived its parent.
            if below.end <= until && seen.get(child) == Some(&false) {
                chain.push((child, below.end));
                until = below.start;
            }
        }
        if chain.is_empty() {
            path.push(at);
        }
        open.extend(chain.into_iter().rev());
    }
    path.reverse();
    path
}

/// The path as one line without a line feed; empty when it has fewer than two steps. Repeated steps become one; when it
/// does not fit, the shortest steps go and are counted.
#[must_use]
pub fn render_path(path: &[usize], steps: &[Step], screen: Screen) -> String {
    let mut names: Vec<(&str, usize, u64)> = Vec::new();
    for step in path.iter().filter_map(|&at| steps.get(at)) {
        let time = step.end.saturating_sub(step.start);
        match names.last_mut() {
            Some((name, count, sum)) if *name == &*step.name => {
                *count += 1;
                *sum += time;
            }
            _ => names.push((&step.name, 1, time)),
        }
    }
    if path.len() < 2 {
        return String::new();
    }
    let arrow = screen.pick(" → ", " > ");
    let times = screen.pick("×", "x");
    let said = |name: &str, count: usize| if count > 1 { format!("{name} {times}{count}") } else { name.to_owned() };
    let title = "critical path  ";
    let room = screen.columns().saturating_sub(title.len() + 12);
    let wide = |names: &[(&str, usize, u64)]| {
        names.iter().map(|(name, count, _)| width(&said(name, *count)) + width(arrow)).sum::<usize>()
    };
    let mut left_out = 0;
    while names.len() > 1 && wide(&names) > room {
        let Some(least) = (0..names.len()).min_by_key(|&at| names.get(at).map(|(_, _, time)| *time)) else { break };
        left_out += names.remove(least).1;
    }
    let mut line = Line::new(screen);
    line.push_own(Style::Dim, title);
    for (at, (name, count, _)) in names.iter().enumerate() {
        if at > 0 {
            line.push_own(Style::Dim, arrow);
        }
        line.push(Style::Plain, &said(name, *count), room + title.len());
    }
    if left_out > 0 {
        line.push_own(Style::Dim, &format!("  and {left_out} more"));
    }
    line.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{Kind, Outcome};
    use crate::terminal::step::Stage;

    fn step(id: u64, parent: u64, name: &str, start: u64, end: u64) -> Step {
        Step {
            id: SpanId::from_u64(id),
            parent: (parent > 0).then(|| SpanId::from_u64(parent)),
            kind: Kind::Span,
            stage: Stage::Ended,
            outcome: Outcome::Ok,
            start,
            end,
            name: Box::from(name),
            model: None,
            error: None,
            tokens: None,
            cost: None,
        }
    }

    fn names(steps: &[Step]) -> String {
        let path = critical_path(steps, 0);
        path.iter().filter_map(|&at| steps.get(at)).map(|step| &*step.name).collect::<Vec<_>>().join(" ")
    }

    /// plan, then two agents side by side of which the coder takes longer, then the answer.
    fn team() -> Vec<Step> {
        vec![
            step(1, 0, "flow", 0, 100),
            step(2, 1, "manager", 0, 99),
            step(3, 2, "plan", 0, 10),
            step(4, 2, "researcher", 10, 50),
            step(5, 4, "search", 10, 49),
            step(6, 2, "coder", 11, 80),
            step(7, 6, "write", 11, 40),
            step(8, 6, "run", 40, 60),
            step(9, 6, "run", 61, 79),
            step(10, 2, "answer", 80, 98),
        ]
    }

    #[test]
    fn the_slower_of_two_branches_is_on_it() {
        assert_eq!(names(&team()), "plan write run run answer");
    }

    #[test]
    fn what_outlives_its_parent_and_loops_are_passed_over() {
        let odd = [
            step(1, 3, "root", 0, 10),
            step(2, 1, "stray", 5, 50),
            step(3, 2, "loop", 1, 4),
            step(4, 1, "work", 1, 9),
            step(4, 1, "twin", 1, 9),
        ];
        assert_eq!(names(&odd), "twin");
        assert!(critical_path(&[], 0).is_empty());
        assert_eq!(names(&[step(1, 1, "self", 0, 1)]), "self");
    }

    #[test]
    fn the_line_folds_repeats_and_drops_what_is_shortest() {
        let steps = team();
        let path = critical_path(&steps, 0);
        let wide = Screen { columns: 118, unicode: true, colour: false };
        assert_eq!(render_path(&path, &steps, wide), "critical path  plan → write → run ×2 → answer");
        let narrow = Screen { columns: 44, unicode: false, colour: false };
        assert_eq!(render_path(&path, &steps, narrow), "critical path  write > run x2  and 2 more");
        assert_eq!(render_path(path.get(..1).unwrap_or_default(), &steps, wide), "");
    }
}
