// @ts-check
// What happened in a trace, in a line of short statements: where the time went, what was tried again, what failed and
// was made good, who made the cost. Every figure is computed from the spans; nothing is phrased that was not measured.

import * as fmt from "./fmt.js";
import { plain } from "./fmt.js";
import { attempts, costShare, criticalPath, errorsInOrder, failed, nameOf, textOf } from "./tree.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {{tone: "path"|"good"|"bad"|"plain", text: string, title: string, span: number|null}} Fact */

/** At most this many parts of the critical path are named. */
const PARTS = 4;
/** More attempts than this are counted, not told. */
const TOLD = 2;

/**
 * @param {Tree} tree
 * @param {ReturnType<typeof criticalPath>} path
 * @param {ReturnType<typeof attempts>} tries
 * @returns {Fact[]}
 */
export function story(tree, path, tries) {
  return [...pathFact(tree, path), ...attemptFacts(tree, tries), ...errorFact(tree, tries), ...costFact(tree)];
}

/** @param {Tree} tree @param {ReturnType<typeof criticalPath>} path @returns {Fact[]} */
function pathFact(tree, path) {
  const own = [...path.own].sort((a, b) => b[1] - a[1]).filter(([, time]) => time > 0).slice(0, PARTS);
  if (own.length < 2) return [];
  return [{
    tone: "path",
    text: `Critical path: ${own.map(([i, time]) => `${plain(nameOf(tree, i))} ${fmt.duration(time)}`).join(" · ")}`,
    title: "The work that decided when the trace ended: each span with the time during which nothing below it was waited for",
    span: own[0][0],
  }];
}

/** @param {Tree} tree @param {ReturnType<typeof attempts>} tries @returns {Fact[]} */
function attemptFacts(tree, tries) {
  const groups = [...tries.groups].sort((a, b) => b.lost - a.lost);
  const told = groups.slice(0, TOLD).map((group) => {
    const first = group.members[0];
    const last = group.members[group.members.length - 1];
    const failures = group.members.filter((i) => failed(tree, i)).length;
    const agent = textOf(tree.spans, tree.spans.agent[first]);
    const reason = textOf(tree.spans, tree.spans.error[first]);
    const between = betweenTries(tree, group.members);
    const outcome = group.recovered ? (between ? `${between} → OK` : `OK on try ${group.members.length}`) : "gave up";
    const why = reason ? `: ${fmt.clip(plain(reason), 48)}` : "";
    return {
      tone: /** @type {"good"|"bad"} */ (group.recovered ? "good" : "bad"),
      text: `${plain(nameOf(tree, first))}${agent ? ` (${plain(agent)})` : ""}${why}${failures > 1 ? ` ×${failures}` : ""} → ${outcome} — ${fmt.duration(group.lost)} lost`,
      title: reason ?? "",
      span: group.recovered ? first : last,
    };
  });
  if (groups.length <= TOLD) return told;
  const rest = groups.slice(TOLD);
  const lost = rest.reduce((sum, group) => sum + group.lost, 0);
  return [...told, {
    tone: "plain",
    text: `${fmt.plural(rest.length, "more retry").replace("retrys", "retries")}, ${fmt.duration(lost)} lost`,
    title: "Further groups of attempts in this trace",
    span: rest[0].members[0],
  }];
}

/** The one sibling between a failure and the try that worked, if it is the same for all: often it is the repair.
 * @param {Tree} tree @param {number[]} members @returns {string|null} */
function betweenTries(tree, members) {
  const p = tree.parent[members[0]];
  if (p < 0 || members.length !== 2) return null;
  const siblings = tree.childList.subarray(tree.childAt[p], tree.childAt[p + 1]);
  const from = siblings.indexOf(members[0]);
  const to = siblings.indexOf(members[1]);
  return to - from === 2 ? plain(nameOf(tree, siblings[from + 1])) : null;
}

/** Errors that no further attempt answers. @param {Tree} tree @param {ReturnType<typeof attempts>} tries @returns {Fact[]} */
function errorFact(tree, tries) {
  const alone = errorsInOrder(tree).filter((i) => !tries.of.get(i)?.group.recovered && !tries.of.has(i));
  if (!alone.length) return [];
  // Handled: a caller above did not fail.
  const handled = alone.filter((i) => {
    const p = tree.parent[i];
    return p >= 0 && !failed(tree, p);
  });
  const facts = /** @type {Fact[]} */ ([]);
  const hard = alone.filter((i) => !handled.includes(i));
  if (hard.length) {
    const reason = textOf(tree.spans, tree.spans.error[hard[0]]);
    facts.push({
      tone: "bad",
      text: `${plain(nameOf(tree, hard[0]))} failed${reason ? `: ${fmt.clip(plain(reason), 60)}` : ""}${hard.length > 1 ? ` and ${hard.length - 1} more` : ""}`,
      title: reason ?? "",
      span: hard[0],
    });
  }
  if (handled.length) {
    facts.push({
      tone: "plain",
      text: `${fmt.plural(handled.length, "error")} handled by the caller`,
      title: "These spans failed, the span above each of them did not",
      span: handled[0],
    });
  }
  return facts;
}

/** @param {Tree} tree @returns {Fact[]} */
function costFact(tree) {
  const model = costShare(tree, "model")[0];
  const agent = costShare(tree, "agent")[0];
  if (!model && !agent) return [];
  const parts = [];
  if (model) parts.push(`${plain(model.name)} ${fmt.percent(model.share)} of cost`);
  if (agent) parts.push(`${plain(agent.name)} ${fmt.percent(agent.share)}`);
  return [{ tone: "plain", text: parts.join(" · "), title: "Share of the trace's cost: the dearest model and the dearest agent", span: null }];
}
