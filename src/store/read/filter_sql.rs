//! A filter as SQL: over `trace t`, or over `span s` together with its `trace t`.
//!
//! Text of the user's goes into parameters, never into the statement.

use super::filter::{Comparison, Errors, Field, Figure, Filter, Pattern, Term, Test, Wanted};
use super::sql::{STATUS, Sql, TOKENS, like, phrase};

/// What a filter is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// `trace t`: a property of spans holds when any of them has it.
    Trace,
    /// `span s` of `trace t`: a property of spans has to be the span's own.
    Span,
}

impl Filter {
    /// Appends " AND (...)" for each term.
    pub(super) fn write(&self, scope: Scope, sql: &mut Sql) {
        for term in &self.terms {
            // What is unknown does not hold, and so holds when negated.
            sql.push(if term.negated { " AND NOT coalesce((" } else { " AND ((" });
            write_test(term, scope, sql);
            sql.push(if term.negated { "), 0)" } else { "))" });
        }
    }
}

fn write_test(term: &Term, scope: Scope, sql: &mut Sql) {
    let root = term.root;
    match &term.test {
        Test::Text(field, patterns) => write_field(*field, patterns, root, scope, sql),
        Test::Figure(figure, comparisons) => {
            write_any(sql, comparisons, |sql, comparison| write_figure(*figure, *comparison, root, scope, sql));
        }
        Test::Kind(kinds) => {
            let numbers: Vec<i64> = kinds.iter().map(|kind| *kind as i64).collect();
            write_spans("kind", root, scope, sql, |sql, column| {
                sql.push(column).push(" IN ").bind_all(numbers.iter().copied());
            });
        }
        Test::Status(statuses) => {
            let of_span = scope == Scope::Span && !root;
            sql.push(if of_span { "s.status" } else { STATUS }).push(" IN ");
            sql.bind_all(statuses.iter().map(|status| *status as i64));
        }
        Test::Errors(wanted) => write_any(sql, wanted, |sql, wanted| match wanted {
            Errors::Any => {
                sql.push("t.errors > 0");
            }
            Errors::None => {
                sql.push("t.errors = 0");
            }
            Errors::Recovered => {
                sql.push("t.errors > 0 AND ").push(STATUS).push(" NOT IN (1, 5, 6)");
            }
        }),
        Test::Score(name, wanted) => write_any(sql, wanted, |sql, wanted| {
            sql.push("EXISTS(SELECT 1 FROM score c WHERE c.trace_id = t.trace_id AND c.name = ").bind(name.clone());
            match wanted {
                Wanted::Number(comparison) => {
                    sql.push(" AND c.value ").push(comparison.operator).push(" ").bind(comparison.number);
                }
                Wanted::Label(pattern) => {
                    sql.push(" AND ");
                    write_pattern(pattern, "c.label", sql);
                }
                Wanted::Present => {}
            }
            sql.push(")");
        }),
        Test::Id(ids) => write_any(sql, ids, |sql, id| {
            // 'g' comes after every hexadecimal digit: the end of what begins so.
            sql.push("t.trace_id >= ").bind(id.clone()).push(" AND t.trace_id < ").bind(format!("{id}g"));
        }),
        Test::Free(text) => write_free(text, sql),
    }
}

/// `a` or `b` or ...
fn write_any<T>(sql: &mut Sql, items: &[T], write: impl Fn(&mut Sql, &T)) {
    for (index, item) in items.iter().enumerate() {
        sql.push(if index > 0 { " OR (" } else { "(" });
        write(sql, item);
        sql.push(")");
    }
}

fn write_pattern(pattern: &Pattern, column: &str, sql: &mut Sql) {
    match pattern {
        Pattern::Exact(text) => {
            sql.push(column).push(" = ").bind(text.clone());
        }
        Pattern::Like(pattern) => {
            sql.push(column).push(" LIKE ").bind(pattern.clone()).push(" ESCAPE '\\'");
        }
        Pattern::Present => {
            sql.push(column).push(" <> ''");
        }
    }
}

fn write_field(field: Field, patterns: &[Pattern], root: bool, scope: Scope, sql: &mut Sql) {
    let condition = |sql: &mut Sql, column: &str| {
        write_any(sql, patterns, |sql, pattern| write_pattern(pattern, column, sql));
    };
    match field {
        Field::Session => condition(sql, "t.session"),
        Field::User => condition(sql, "t.user"),
        Field::Environment | Field::Service => {
            let column = if field == Field::Service { "r.service" } else { "r.environment" };
            sql.push("EXISTS(SELECT 1 FROM resource r WHERE r.id = t.resource AND (");
            condition(sql, column);
            sql.push("))");
        }
        Field::Tag => {
            sql.push("EXISTS(SELECT 1 FROM trace_tag g WHERE g.trace = t.id AND (");
            condition(sql, "g.tag");
            sql.push("))");
        }
        Field::Agent if scope == Scope::Trace && !root => {
            sql.push("EXISTS(SELECT 1 FROM trace_agent a WHERE a.trace = t.id AND (");
            condition(sql, "a.agent");
            sql.push(")) OR EXISTS(SELECT 1 FROM open_span o WHERE o.trace_id = t.trace_id AND (");
            condition(sql, "o.agent");
            sql.push("))");
        }
        Field::Agent => write_spans("agent", root, scope, sql, condition),
        Field::Model => write_spans("model", root, scope, sql, condition),
        Field::Name => write_spans("name", root, scope, sql, condition),
        Field::Error => {
            let either = |sql: &mut Sql| {
                condition(sql, "s.error_type");
                sql.push(" OR ");
                condition(sql, "s.error");
            };
            if scope == Scope::Span && !root {
                either(sql);
            } else {
                sql.push("EXISTS(SELECT 1 FROM span s WHERE s.trace = t.id AND s.status = 1");
                sql.push(if root { " AND s.span_id = t.root AND (" } else { " AND (" });
                either(sql);
                sql.push("))");
            }
        }
    }
}

/// A condition on a column that finished and open spans have in common.
fn write_spans(column: &str, root: bool, scope: Scope, sql: &mut Sql, condition: impl Fn(&mut Sql, &str)) {
    if scope == Scope::Span && !root {
        return condition(sql, &format!("s.{column}"));
    }
    // Another letter than `s`, which may stand for the span that is asked about.
    sql.push("EXISTS(SELECT 1 FROM span n WHERE n.trace = t.id");
    sql.push(if root { " AND n.span_id = t.root AND (" } else { " AND (" });
    condition(sql, &format!("n.{column}"));
    sql.push(")) OR EXISTS(SELECT 1 FROM open_span o WHERE o.trace_id = t.trace_id");
    sql.push(if root { " AND o.parent_id IS NULL AND (" } else { " AND (" });
    condition(sql, &format!("o.{column}"));
    sql.push("))");
}

fn write_figure(figure: Figure, comparison: Comparison, root: bool, scope: Scope, sql: &mut Sql) {
    let of_span = |letter: &str| match figure {
        Figure::Duration => format!("{letter}.duration_ns"),
        Figure::Cost => format!("{letter}.cost"),
        Figure::Tokens => format!("(coalesce({letter}.input_tokens, 0) + coalesce({letter}.output_tokens, 0))"),
    };
    let compare = |sql: &mut Sql, column: &str| {
        sql.push(column).push(" ").push(comparison.operator).push(" ").bind(comparison.number);
    };
    if root {
        sql.push("EXISTS(SELECT 1 FROM span n WHERE n.trace = t.id AND n.span_id = t.root AND ");
        compare(sql, &of_span("n"));
        sql.push(")");
    } else if scope == Scope::Span {
        compare(sql, &of_span("s"));
    } else {
        let column = match figure {
            Figure::Duration => "(t.end_ns - t.start_ns)",
            Figure::Cost => "coalesce(t.cost, t.reported_cost)",
            Figure::Tokens => TOKENS,
        };
        compare(sql, column);
    }
}

/// Text anywhere: what lists show, names and errors of spans, and what the text index holds.
fn write_free(text: &str, sql: &mut Sql) {
    let pattern = like("%", text, "%");
    for column in ["t.name", "t.input", "t.output", "t.error"] {
        sql.push(column).push(" LIKE ").bind(pattern.clone()).push(" ESCAPE '\\' OR ");
    }
    sql.push("EXISTS(SELECT 1 FROM span n WHERE n.trace = t.id AND (n.name LIKE ").bind(pattern.clone());
    sql.push(" ESCAPE '\\' OR n.error LIKE ").bind(pattern).push(" ESCAPE '\\'))");
    sql.push(" OR t.id IN (SELECT n.trace FROM text_index x JOIN span n ON n.id = x.rowid WHERE x.text MATCH ");
    sql.bind(phrase(text, true)).push(")");
}
