//! From the steps of a trace to the rows of its tree: children in the order in which they began, repeated siblings
//! folded into one row, and so much collapsed that a screen holds the rest.
//!
//! Steps come from anywhere and in any shape: parents that are missing, loops, the same id twice, chains of ten thousand.
//! Every step ends up in exactly one row, and nothing here recurses.

use std::collections::{HashMap, HashSet};

use crate::ids::{SpanId, TraceId};
use crate::kind::{Kind, Outcome};
use crate::terminal::step::{Stage, State, Step, Summary};

/// Rows that are shown when nobody says how many.
pub const MAX_ROWS: usize = 60;

/// Healthy siblings shown in a row of siblings, from the most to the least that is tried.
const SIBLINGS: [usize; 6] = [usize::MAX, 16, 8, 4, 2, 1];

/// What stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// One step, by its place in the list of steps.
    Step(usize),
    /// This many steps that do not differ in kind, name and model, beginning with this one. `failed` of them failed, and
    /// `error` is one of those.
    Repeated {
        /// The first of them.
        first: usize,
        /// How many.
        count: usize,
        /// How many failed.
        failed: usize,
        /// One that failed.
        error: Option<usize>,
    },
    /// This many steps without any error that are not shown.
    More(usize),
}

/// A row of the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What stands in it.
    pub content: Content,
    /// Levels above it.
    pub depth: usize,
    /// Whether a sibling follows, for each level down to its own.
    pub follows: Vec<bool>,
    /// Whether the step's parent is not in the trace.
    pub is_orphan: bool,
    /// Start, nanoseconds since the Unix epoch.
    pub start: u64,
    /// End, nanoseconds since the Unix epoch.
    pub end: u64,
    /// Tokens of the row; of all below it when those are not shown.
    pub tokens: Option<u64>,
    /// USD, likewise.
    pub cost: Option<f64>,
    /// Steps below that are not shown; none of them failed.
    pub hidden: usize,
}

/// The rows of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// In the order in which they are shown.
    pub rows: Vec<Row>,
    /// Steps in all, shown or not.
    pub steps: usize,
    /// Steps that no row stands for or counts: those beyond the last row.
    pub cut: usize,
    /// Start of the first step.
    pub start: u64,
    /// End of the last step.
    pub end: u64,
}

/// The steps that hang together, as a tree over their places in the list.
#[derive(Debug)]
struct Shape {
    /// Children of each step, by start.
    children: Vec<Vec<usize>>,
    /// Steps without a step above, by start.
    tops: Vec<usize>,
    /// Parents before children.
    order: Vec<usize>,
    is_orphan: Vec<bool>,
}

/// The places of the steps under `root`, itself included.
#[must_use]
pub fn below(steps: &[Step], root: usize) -> HashSet<usize> {
    let mut by_parent: HashMap<SpanId, Vec<usize>> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        if let Some(parent) = step.parent {
            by_parent.entry(parent).or_default().push(at);
        }
    }
    let mut found = HashSet::from([root]);
    let mut open = vec![root];
    while let Some(at) = open.pop() {
        let Some(step) = steps.get(at) else { continue };
        for &child in by_parent.get(&step.id).into_iter().flatten() {
            if found.insert(child) {
                open.push(child);
            }
        }
    }
    found
}

impl Shape {
    /// `root` is the place of the step above all others; steps without a known parent are put under it then.
    fn new(steps: &[Step], root: Option<usize>) -> Self {
        let mut places: HashMap<SpanId, usize> = HashMap::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            places.entry(step.id).or_insert(at);
        }
        let parent = |at: usize| {
            let place = steps.get(at).and_then(|step| places.get(&step.parent?).copied());
            place.filter(|&place| place != at && Some(at) != root)
        };
        let mut given = vec![Vec::new(); steps.len()];
        // By start; what starts together by end, the longer first, as an enclosing step would.
        let mut sorted: Vec<usize> = (0..steps.len()).collect();
        sorted.sort_by_key(|&at| steps.get(at).map(|step| (step.start, u64::MAX - step.end)));
        let mut parentless = Vec::new();
        for &at in &sorted {
            match parent(at).and_then(|parent| given.get_mut(parent)) {
                Some(children) => children.push(at),
                None => parentless.push(at),
            }
        }
        let mut shape = Self {
            children: vec![Vec::new(); steps.len()],
            tops: Vec::new(),
            order: Vec::with_capacity(steps.len()),
            is_orphan: vec![false; steps.len()],
        };
        let mut seen = vec![false; steps.len()];
        // Whoever is left after these hangs in a loop, which is cut where it began first.
        for at in root.into_iter().chain(parentless).chain(sorted) {
            if seen.get(at) != Some(&false) {
                continue;
            }
            let is_orphan = steps.get(at).is_some_and(|step| step.parent.is_some()) && Some(at) != root;
            match root.filter(|&root| root != at).and_then(|root| shape.children.get_mut(root)) {
                Some(children) => children.push(at),
                None => shape.tops.push(at),
            }
            if let Some(mark) = shape.is_orphan.get_mut(at) {
                *mark = is_orphan;
            }
            shape.visit(at, &given, &mut seen);
        }
        shape
    }

    fn visit(&mut self, top: usize, given: &[Vec<usize>], seen: &mut [bool]) {
        let mut open = vec![(top, None)];
        while let Some((at, parent)) = open.pop() {
            match seen.get_mut(at) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            if let Some(children) = parent.and_then(|parent: usize| self.children.get_mut(parent)) {
                children.push(at);
            }
            self.order.push(at);
            // Reversed, since the last one put on the stack is the first to be taken.
            open.extend(given.get(at).into_iter().flatten().rev().map(|&child| (child, Some(at))));
        }
    }
}

/// What is known of a step and everything below it.
#[derive(Clone, Copy, Debug, Default)]
struct Below {
    steps: usize,
    /// No step failed, was cancelled, interrupted or abandoned.
    is_healthy: bool,
    /// A step failed.
    has_failed: bool,
    /// Tokens, counted where they are deepest: a workflow may repeat the sum of its calls.
    tokens: Option<u64>,
    cost: Option<f64>,
}

fn sums(steps: &[Step], shape: &Shape) -> Vec<Below> {
    let mut sums = vec![Below::default(); steps.len()];
    for &at in shape.order.iter().rev() {
        let Some(step) = steps.get(at) else { continue };
        let mut sum = Below { steps: 1, ..Below::default() };
        sum.is_healthy = step.outcome == Outcome::Ok && step.stage == Stage::Ended;
        sum.has_failed = step.outcome == Outcome::Error;
        for child in shape.children.get(at).into_iter().flatten().filter_map(|&child| sums.get(child)) {
            sum.steps += child.steps;
            sum.is_healthy &= child.is_healthy;
            sum.has_failed |= child.has_failed;
            sum.tokens = plus(sum.tokens, child.tokens);
            sum.cost = add(sum.cost, child.cost);
        }
        sum.tokens = sum.tokens.or(step.tokens);
        sum.cost = sum.cost.or(step.cost);
        if let Some(place) = sums.get_mut(at) {
            *place = sum;
        }
    }
    sums
}

/// The sum of what is known.
fn plus(left: Option<u64>, right: Option<u64>) -> Option<u64> {
    left.map_or(right, |left| Some(left.saturating_add(right.unwrap_or(0))))
}

fn add(left: Option<f64>, right: Option<f64>) -> Option<f64> {
    left.map_or(right, |left| Some(left + right.unwrap_or(0.0)))
}

/// What one line says about the steps of a trace. `root` as for [`Tree::new`].
#[must_use]
pub fn summarise(trace_id: TraceId, steps: &[Step], root: Option<usize>, session: Option<Box<str>>) -> Summary {
    let shape = Shape::new(steps, root);
    let sums = sums(steps, &shape);
    let mut summary = Summary {
        trace_id,
        name: Box::from("trace"),
        state: State::Unfinished,
        errors: 0,
        duration: 0,
        cost: None,
        tokens: None,
        spans: steps.len() as u64,
        agents: 0,
        session,
    };
    let mut agents = HashSet::new();
    for (at, step) in steps.iter().enumerate() {
        if step.kind == Kind::Agent {
            agents.insert(&*step.name);
        }
        let mut children = shape.children.get(at).into_iter().flatten();
        if step.outcome == Outcome::Error
            && !children.any(|&child| sums.get(child).is_some_and(|below| below.has_failed))
        {
            summary.errors += 1;
        }
    }
    summary.agents = agents.len() as u64;
    for sum in shape.tops.iter().filter_map(|&top| sums.get(top)) {
        summary.tokens = plus(summary.tokens, sum.tokens);
        summary.cost = add(summary.cost, sum.cost);
    }
    let whole = || {
        let start = steps.iter().map(|step| step.start).min().unwrap_or(0);
        steps.iter().map(|step| step.end).max().unwrap_or(0).saturating_sub(start)
    };
    if let Some(root) = root.and_then(|root| steps.get(root)) {
        summary.name.clone_from(&root.name);
        summary.state = State::Ended(root.outcome);
        summary.duration = root.end - root.start;
    } else {
        if let Some(first) = shape.tops.first().and_then(|&top| steps.get(top)) {
            summary.name.clone_from(&first.name);
        }
        summary.duration = whole();
    }
    summary
}

/// A row before it is known what is shown.
#[derive(Debug)]
struct Branch {
    content: Content,
    parent: Option<usize>,
    depth: usize,
    is_orphan: bool,
    start: u64,
    end: u64,
    tokens: Option<u64>,
    cost: Option<f64>,
    /// Everything below, itself included.
    below: Below,
    /// Healthy siblings before it.
    healthy_before: usize,
}

impl Tree {
    /// The tree of `steps`. `root` is the place of the step above all others; without one, every step whose parent is
    /// not there stands at the top.
    #[must_use]
    pub fn new(steps: &[Step], root: Option<usize>) -> Self {
        Self::of_rows(steps, root, MAX_ROWS)
    }

    /// The same with at most `most` rows.
    #[must_use]
    pub fn of_rows(steps: &[Step], root: Option<usize>, most: usize) -> Self {
        let shape = Shape::new(steps, root);
        let branches = fold(steps, &shape, &sums(steps, &shape));
        let rows = show(&branches, choose(&branches, most), most);
        let shown: usize = rows.iter().map(Row::steps).sum();
        Self {
            rows,
            steps: steps.len(),
            cut: steps.len().saturating_sub(shown),
            start: steps.iter().map(|step| step.start).min().unwrap_or(0),
            end: steps.iter().map(|step| step.end).max().unwrap_or(0),
        }
    }

    /// Steps that no row shows.
    #[must_use]
    pub fn hidden(&self) -> usize {
        let more = |row: &Row| if let Content::More(count) = row.content { count } else { 0 };
        self.cut + self.rows.iter().map(|row| row.hidden + more(row)).sum::<usize>()
    }
}

impl Row {
    /// Steps that the row stands for, hidden ones included.
    fn steps(&self) -> usize {
        self.hidden
            + match self.content {
                Content::Step(_) => 1,
                Content::Repeated { count, .. } | Content::More(count) => count,
            }
    }
}

/// Rows for all steps, parents before children, siblings in order. Siblings without children that follow each other and
/// do not differ become one: three of them, or two if one failed.
fn fold(steps: &[Step], shape: &Shape, sums: &[Below]) -> Vec<Branch> {
    let mut branches: Vec<Branch> = Vec::with_capacity(steps.len());
    let mut families = vec![(None, 0, shape.tops.as_slice())];
    while !families.is_empty() {
        let mut next = Vec::new();
        for (parent, depth, places) in families {
            let mut healthy_before = 0;
            for run in runs(steps, shape, places) {
                let Some(mut branch) = branch(steps, shape, sums, &run) else { continue };
                (branch.parent, branch.depth, branch.healthy_before) = (parent, depth, healthy_before);
                healthy_before += usize::from(branch.below.is_healthy);
                if let Content::Step(at) = branch.content {
                    let children = shape.children.get(at).map(Vec::as_slice).unwrap_or_default();
                    next.push((Some(branches.len()), depth + 1, children));
                }
                branches.push(branch);
            }
        }
        families = next;
    }
    branches
}

/// Cuts siblings into what will be one row each.
fn runs(steps: &[Step], shape: &Shape, places: &[usize]) -> Vec<Vec<usize>> {
    let is_like = |one: usize, other: usize| {
        let is_leaf = |at: usize| shape.children.get(at).is_some_and(Vec::is_empty);
        let (Some(left), Some(right)) = (steps.get(one), steps.get(other)) else { return false };
        let looks = left.kind == right.kind && left.name == right.name && left.model == right.model;
        looks && is_leaf(one) && is_leaf(other)
    };
    let mut runs: Vec<Vec<usize>> = Vec::new();
    for &at in places {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|&last| is_like(last, at)) => run.push(at),
            _ => runs.push(vec![at]),
        }
    }
    let failed = |run: &[usize]| run.iter().any(|&at| steps.get(at).is_some_and(|step| step.outcome == Outcome::Error));
    let mut kept = Vec::with_capacity(runs.len());
    for run in runs {
        if run.len() > 2 || (run.len() == 2 && failed(&run)) {
            kept.push(run);
        } else {
            kept.extend(run.into_iter().map(|at| vec![at]));
        }
    }
    kept
}

fn branch(steps: &[Step], shape: &Shape, sums: &[Below], run: &[usize]) -> Option<Branch> {
    let &first = run.first()?;
    let mut branch = Branch {
        content: Content::Step(first),
        parent: None,
        depth: 0,
        is_orphan: shape.is_orphan.get(first).copied().unwrap_or(false),
        start: u64::MAX,
        end: 0,
        tokens: None,
        cost: None,
        below: Below { is_healthy: true, ..Below::default() },
        healthy_before: 0,
    };
    let (mut failed, mut error) = (0, None);
    for &at in run {
        let (step, below) = (steps.get(at)?, sums.get(at)?);
        branch.start = branch.start.min(step.start);
        branch.end = branch.end.max(step.end);
        branch.tokens = plus(branch.tokens, step.tokens);
        branch.cost = add(branch.cost, step.cost);
        branch.below.steps += below.steps;
        branch.below.is_healthy &= below.is_healthy;
        branch.below.tokens = plus(branch.below.tokens, below.tokens);
        branch.below.cost = add(branch.below.cost, below.cost);
        if step.outcome == Outcome::Error {
            failed += 1;
            error.get_or_insert(at);
        }
    }
    if run.len() > 1 {
        branch.content = Content::Repeated { first, count: run.len(), failed, error };
    }
    Some(branch)
}

/// What is left out so that a screen holds the rest.
#[derive(Clone, Copy, Debug)]
struct Choice {
    /// Healthy siblings beyond this many become one row.
    siblings: usize,
    /// Below healthy steps at this depth or deeper nothing is shown.
    depth: usize,
}

/// The choice that shows the most and fits. Steps with an error in or below them are never left out.
fn choose(branches: &[Branch], rows: usize) -> Choice {
    let mut best = Choice { siblings: 1, depth: 1 };
    let mut most = 0;
    for siblings in SIBLINGS {
        // For each depth the rows that go when their healthy parent is closed, and rows that stay whatever the depth.
        let mut closable: Vec<usize> = Vec::new();
        let mut fixed = 0;
        let mut is_gone = vec![false; branches.len()];
        let mut has_more = HashSet::new();
        for (at, branch) in branches.iter().enumerate() {
            let parent = branch.parent.and_then(|parent| branches.get(parent));
            let went_before = branch.parent.is_some_and(|parent| is_gone.get(parent) == Some(&true));
            let goes = branch.below.is_healthy && branch.healthy_before >= siblings;
            if let Some(mark) = is_gone.get_mut(at) {
                *mark = went_before || goes;
            }
            // All that go from one family share a row.
            if went_before || (goes && !has_more.insert(branch.parent)) {
                continue;
            }
            if parent.is_some_and(|parent| parent.below.is_healthy) {
                if closable.len() <= branch.depth {
                    closable.resize(branch.depth + 1, 0);
                }
                if let Some(count) = closable.get_mut(branch.depth) {
                    *count += 1;
                }
            } else {
                fixed += 1;
            }
        }
        let mut visible = fixed;
        for (depth, count) in closable.iter().enumerate() {
            // What stands at depth 1 would leave nothing but the root; siblings go first.
            if visible + count > rows {
                break;
            }
            visible += count;
            if depth >= 1 && visible > most {
                (most, best) = (visible, Choice { siblings, depth });
            }
        }
        if closable.is_empty() && visible <= rows && visible > most {
            (most, best) = (visible, Choice { siblings, depth: usize::MAX });
        }
    }
    best
}

/// The rows under a choice, in the order of the screen.
fn show(branches: &[Branch], choice: Choice, most: usize) -> Vec<Row> {
    let mut families: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (at, branch) in branches.iter().enumerate() {
        families.entry(branch.parent).or_default().push(at);
    }
    let mut rows = Vec::new();
    let mut follows = Vec::new();
    let mut open = lines(branches, families.get(&None), choice);
    while let Some(line) = open.pop() {
        if rows.len() == most {
            break;
        }
        follows.truncate(line.depth.saturating_sub(1));
        if line.depth > 0 {
            follows.push(line.is_followed);
        }
        let mut row = Row {
            content: line.content,
            depth: line.depth,
            follows: follows.clone(),
            is_orphan: false,
            start: line.start,
            end: line.end,
            tokens: line.tokens,
            cost: line.cost,
            hidden: 0,
        };
        if let Some((at, branch)) = line.branch.and_then(|at| Some((at, branches.get(at)?))) {
            row.is_orphan = branch.is_orphan;
            let family = families.get(&Some(at));
            if family.is_some() && branch.below.is_healthy && branch.depth >= choice.depth {
                row.hidden = branch.below.steps - 1;
                (row.tokens, row.cost) = (branch.below.tokens, branch.below.cost);
            } else {
                open.extend(lines(branches, family, choice));
            }
        }
        rows.push(row);
    }
    rows
}

/// A row to be, and the branch whose children come below it.
#[derive(Debug)]
struct Line {
    content: Content,
    branch: Option<usize>,
    depth: usize,
    is_followed: bool,
    start: u64,
    end: u64,
    tokens: Option<u64>,
    cost: Option<f64>,
}

/// The lines of a family, the last one first.
fn lines(branches: &[Branch], family: Option<&Vec<usize>>, choice: Choice) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut rest: Option<Line> = None;
    for (at, branch) in family.into_iter().flatten().filter_map(|&at| Some((at, branches.get(at)?))) {
        if branch.below.is_healthy && branch.healthy_before >= choice.siblings {
            let rest = rest.get_or_insert(Line {
                content: Content::More(0),
                branch: None,
                depth: branch.depth,
                is_followed: false,
                start: u64::MAX,
                end: 0,
                tokens: None,
                cost: None,
            });
            if let Content::More(count) = &mut rest.content {
                *count += branch.below.steps;
            }
            (rest.start, rest.end) = (rest.start.min(branch.start), rest.end.max(branch.end));
            rest.tokens = plus(rest.tokens, branch.below.tokens);
            rest.cost = add(rest.cost, branch.below.cost);
        } else {
            lines.push(Line {
                content: branch.content,
                branch: Some(at),
                depth: branch.depth,
                is_followed: true,
                start: branch.start,
                end: branch.end,
                tokens: branch.tokens,
                cost: branch.cost,
            });
        }
    }
    lines.extend(rest);
    if let Some(last) = lines.last_mut() {
        last.is_followed = false;
    }
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests;
