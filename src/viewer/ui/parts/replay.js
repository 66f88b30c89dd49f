// @ts-check
// A trace read as a conversation: the question, what each agent said and which tools it called, in the order of time,
// nested agents in boxes of their own. Contents are fetched for what is shown, a few at a time.

import { html, useEffect, useMemo, useState } from "../vendor/preact-htm-signals.js";
import { count, duration, money, plural, short } from "../fmt.js";
import { KINDS, children, failed, nameOf, textOf } from "../tree.js";
import { Kind } from "./bits.js";
import { spanBody } from "./detail.js";
import { Messages } from "./messages.js";
import { ReadingSwitch, Text } from "./text.js";

/** @typedef {import("../tree.js").Tree} Tree */
/** @typedef {{type: "say", i: number} | {type: "tools", list: number[]} | {type: "agent", i: number, steps: Step[]}} Step */

/** So many answers are fetched at first, and more on demand. */
const FIRST = 30;
const AT_ONCE = 4;
const DEEPEST = 12;
const SAYS = new Set(["generation"]);
const DOES = new Set(["tool", "retrieval", "rerank", "evaluator", "guardrail"]);

/** What an agent did, as steps; what only encloses is opened up. @param {Tree} tree @param {ArrayLike<number>} list @param {number} [depth] @returns {Step[]} */
export function stepsOf(tree, list, depth = 0) {
  /** @type {Step[]} */
  const steps = [];
  /** Walked with a stack, because what encloses may go thousands deep. */
  const stack = Array.from(list).reverse();
  while (stack.length) {
    const i = /** @type {number} */ (stack.pop());
    const kind = KINDS[tree.spans.kind[i]];
    if (SAYS.has(kind)) steps.push({ type: "say", i });
    else if (DOES.has(kind)) {
      const last = steps[steps.length - 1];
      if (last?.type === "tools") last.list.push(i);
      else steps.push({ type: "tools", list: [i] });
    }
    const below = children(tree, i);
    if (kind === "agent" && depth < DEEPEST) steps.push({ type: "agent", i, steps: stepsOf(tree, below, depth + 1) });
    else if (kind !== "generation") for (let k = below.length - 1; k >= 0; k--) stack.push(below[k]);
  }
  return steps;
}

/** @param {Step[]} steps @param {number[]} out */
function saysIn(steps, out = []) {
  for (const step of steps) {
    if (step.type === "say") out.push(step.i);
    else if (step.type === "agent") saysIn(step.steps, out);
  }
  return out;
}

/** @param {{traceId: string, trace: import("../types.js").TraceRow, tree: Tree, onSelect: (i: number) => void}} props */
export function Replay({ traceId, trace, tree, onSelect }) {
  const steps = useMemo(() => stepsOf(tree, [...tree.roots, ...tree.stray]), [tree]);
  const says = useMemo(() => saysIn(steps), [steps]);
  const [shown, setShown] = useState(FIRST);
  const [bodies, setBodies] = useState(/** @type {Map<number, any>} */ (new Map()));

  useEffect(() => {
    const control = new AbortController();
    const queue = says.slice(0, shown).filter((i) => !bodies.has(i));
    const work = async () => {
      for (let i = queue.shift(); i !== undefined && !control.signal.aborted; i = queue.shift()) {
        const at = i;
        const body = await spanBody(traceId, tree.spans.id[at], tree.spans.status[at] !== 5, control.signal).catch(() => null);
        if (!control.signal.aborted) setBodies((old) => new Map(old).set(at, body));
      }
    };
    for (let k = 0; k < AT_ONCE; k++) work();
    return () => control.abort();
  }, [tree, shown]);

  const allowed = useMemo(() => new Set(says.slice(0, shown)), [says, shown]);
  return html`<div class="replay"><div class="replay-inner">
    <div class="reading"><${ReadingSwitch} /></div>
    ${trace.input && html`<div class="turn turn-user"><div class="turn-head"><b>user</b></div><${Text} text=${trace.input} /></div>`}
    ${says.length === 0 && html`<p class="muted">No model was called in this trace.</p>`}
    <${Steps} steps=${steps} tree=${tree} bodies=${bodies} allowed=${allowed} onSelect=${onSelect} />
    ${says.length > shown && html`<button class="btn" onClick=${() => setShown(shown + FIRST * 3)}>${count(says.length - shown)} more answers</button>`}
    ${trace.output && html`<div class="turn turn-answer"><div class="turn-head"><b>answer</b><span class="muted">${duration(trace.duration)} · ${money(trace.cost)}</span></div><${Text} text=${trace.output} prefer="markdown" /></div>`}
  </div></div>`;
}

/** @param {{steps: Step[], tree: Tree, bodies: Map<number, any>, allowed: Set<number>, onSelect: (i: number) => void}} props */
function Steps({ steps, tree, bodies, allowed, onSelect }) {
  return html`${steps.map((step, k) => {
    if (step.type === "say") return allowed.has(step.i) && html`<${Say} key=${k} i=${step.i} tree=${tree} body=${bodies.get(step.i)} onSelect=${onSelect} />`;
    if (step.type === "tools") return html`<${Tools} key=${k} list=${step.list} tree=${tree} onSelect=${onSelect} />`;
    const inside = saysIn(step.steps);
    // Boxes whose answers are not asked for yet would be a wall of names.
    if (inside.length && !inside.some((i) => allowed.has(i))) return null;
    return html`<details class="agent-box" key=${k} open><summary><${Kind} kind="agent" /><b class="clip">${nameOf(tree, step.i)}</b><span class="muted">${duration(tree.end[step.i] - tree.start[step.i])}${inside.length ? ` · ${plural(inside.length, "call")}` : ""}</span>${failed(tree, step.i) && html`<span class="bad">failed</span>`}
      <button class="linklike" onClick=${(/** @type {Event} */ e) => {
        e.preventDefault();
        onSelect(step.i);
      }}>span</button></summary>
      <${Steps} steps=${step.steps} tree=${tree} bodies=${bodies} allowed=${allowed} onSelect=${onSelect} /></details>`;
  })}`;
}

/** @param {{i: number, tree: Tree, body: any, onSelect: (i: number) => void}} props */
function Say({ i, tree, body, onSelect }) {
  const { spans } = tree;
  const agent = textOf(spans, spans.agent[i]);
  const tokens = (spans.input_tokens[i] ?? 0) + (spans.output_tokens[i] ?? 0);
  const output = body?.messages?.output ?? [];
  return html`<div class="turn"><div class="turn-head">${agent && html`<b class="clip">${agent}</b>`}<button class="linklike clip" onClick=${() => onSelect(i)}>${nameOf(tree, i)}</button><span class="muted clip">${textOf(spans, spans.model[i]) ?? ""}</span><span class="grow"></span>
      <span class="muted num">${duration(spans.duration[i])}${tokens ? ` · ${short(tokens)} tok` : ""}${spans.cost[i] !== null ? ` · ${money(spans.cost[i])}` : ""}</span></div>
    ${failed(tree, i) && html`<p class="bad">${textOf(spans, spans.error[i]) ?? "failed"}</p>`}
    ${body === undefined ? html`<p class="muted">…</p>` : output.length ? html`<${Messages} list=${output} prefer="markdown" role="assistant" onWhole=${async () => onSelect(i)} />` : body?.output ? html`<${Text} text=${body.output} prefer="markdown" />` : html`<p class="muted">No output was recorded.</p>`}
  </div>`;
}

/** @param {{list: number[], tree: Tree, onSelect: (i: number) => void}} props */
function Tools({ list, tree, onSelect }) {
  /** @type {Map<string, number[]>} */
  const by = new Map();
  for (const i of list) by.set(nameOf(tree, i), [...(by.get(nameOf(tree, i)) ?? []), i]);
  return html`<div class="tool-chips">${[...by].slice(0, 24).map(([name, spans]) => html`<button key=${name} class=${spans.some((i) => failed(tree, i)) ? "has-bad" : ""} onClick=${() => onSelect(spans[0])}>
    <${Kind} kind=${KINDS[tree.spans.kind[spans[0]]]} /><span class="clip">${name}</span><span class="marks">${spans.length > 8 ? `×${count(spans.length)}` : spans.map((i) => (failed(tree, i) ? html`<b class="bad">✗</b>` : html`<b class="good">✓</b>`))}</span></button>`)}</div>`;
}
