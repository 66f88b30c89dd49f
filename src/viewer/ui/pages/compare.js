// @ts-check
// Two traces side by side: what changed in figures, which steps match, and what their inputs and outputs differ in.

import { html, useEffect, useState } from "../vendor/preact-htm-signals.js";
import { get, seg } from "../api.js";
import { ago, change, count, duration, money, short, shortId, totalTokens, when } from "../fmt.js";
import { diffLines } from "../diff.js";
import { go, href, route, setQuery } from "../state.js";
import { buildTree, failed } from "../tree.js";
import { ErrorBadge, Kind, Problem, StatusMark } from "../parts/bits.js";
import { prettyJson } from "../parts/code.js";
import { plainText } from "../parts/messages.js";
import { VList } from "../vlist.js";

/** @typedef {import("../types.js").TraceRow} TraceRow */

/** Longer texts are compared by their beginnings. */
const COMPARED = 60_000;
/** So many lines around a difference are shown. */
const AROUND = 3;

export default function Compare() {
  const { a = "", b = "", row = "" } = route.value.query;
  const [answer, setAnswer] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const chosen = row === "" ? -1 : Number(row);

  useEffect(() => {
    document.title = "Compare · ironspan";
    setAnswer(null);
    if (!a || !b) return undefined;
    const control = new AbortController();
    get("/compare", { a, b }, control.signal).then((found) => {
      setAnswer({ ...found, treeA: buildTree(found.a_spans), treeB: buildTree(found.b_spans) });
      setError(null);
    }, (problem) => !control.signal.aborted && setError(problem));
    return () => control.abort();
  }, [a, b]);

  if (!a || !b) return html`<${Pick} a=${a} b=${b} />`;
  if (error) return html`<div class="page"><${Problem} error=${error} /><a class="btn" href="#/traces">All traces</a></div>`;
  if (!answer) return html`<div class="loading">Comparing …</div>`;
  const { treeA, treeB, rows } = answer;
  const picked = rows[chosen];
  return html`<div class="compare">
    <header class="compare-head"><${Side} trace=${answer.a} letter="A" /><${Side} trace=${answer.b} letter="B" /><${Difference} a=${answer.a} b=${answer.b} />
      <div class="trace-actions"><button class="btn" onClick=${() => go(href(["compare"], { a: b, b: a }))}>Swap</button><button class="btn" onClick=${() => setQuery({ b: "", row: "" })}>Another B</button></div></header>
    <div class="compare-split"><${VList} class="cmp-list" role="group" label="Steps of both" count=${rows.length} height=${28} headerHeight=${28}
      header=${html`<div class="cmp-row cmp-top"><span></span><span>step</span><span class="num">A</span><span class="num">B</span><span class="num">difference</span></div>`}
      render=${(/** @type {number} */ k) => html`<${Step} key=${k} row=${rows[k]} treeA=${treeA} treeB=${treeB} active=${k === chosen} onPick=${() => setQuery({ row: k }, true)} />`} />
      <div class="cmp-detail">${picked ? html`<${StepDiff} key=${`${a}${b}${row}`} a=${answer.a.id} b=${answer.b.id} spanA=${picked.a === null ? null : answer.a_spans.id[picked.a]} spanB=${picked.b === null ? null : answer.b_spans.id[picked.b]} name=${picked.name} kind=${picked.kind} />` : html`<div class="empty"><p>Choose a step to see what its input and output differ in.</p></div>`}</div></div>
  </div>`;
}

/** @param {{trace: TraceRow, letter: string}} props */
function Side({ trace, letter }) {
  return html`<div class="cmp-side"><span class="badge plain">${letter}</span><a class="clip" href=${href(["t", trace.id])}><b>${trace.name}</b></a><span class="muted mono">${shortId(trace.id)}</span><${StatusMark} status=${trace.status} /><${ErrorBadge} errors=${trace.errors} status=${trace.status} />
    <span class="muted" title=${when(trace.start)}>${ago(trace.start)}</span></div>`;
}

/** @param {{a: TraceRow, b: TraceRow}} props */
function Difference({ a, b }) {
  /** @type {[string, number|null, number|null, (v: any) => string][]} */
  const figures = [["duration", a.duration, b.duration, duration], ["cost", a.cost, b.cost, money], ["tokens", totalTokens(a.tokens), totalTokens(b.tokens), short], ["spans", a.spans, b.spans, count], ["errors", a.errors, b.errors, count]];
  return html`<dl class="facts">${figures.map(([name, x, y, show]) => html`<div key=${name}><dt>${name}</dt><dd>${show(x)} → ${show(y)} <span class=${`delta ${better(x, y)}`}>${change(y, x)}</span></dd></div>`)}</dl>`;
}

/** @param {number|null} x @param {number|null} y */
function better(x, y) {
  return x === null || y === null || x === y ? "" : y > x ? "up" : "down";
}

/** @param {any} props */
function Step({ row, treeA, treeB, active, onPick }) {
  const x = row.a === null ? null : treeA.spans.duration[row.a];
  const y = row.b === null ? null : treeB.spans.duration[row.b];
  const badA = row.a !== null && failed(treeA, row.a);
  const badB = row.b !== null && failed(treeB, row.b);
  const only = row.a === null ? "only in B" : row.b === null ? "only in A" : "";
  const sign = row.a === null ? "+" : row.b === null ? "−" : badA !== badB ? "≠" : "=";
  return html`<button class=${`cmp-row ${active ? "active" : ""} ${row.a === null ? "added" : row.b === null ? "removed" : ""}`} onClick=${onPick}>
    <span class="mono sign">${sign}</span><span class="row" style=${{ paddingLeft: `${Math.min(row.depth, 14) * 13}px` }}><${Kind} kind=${row.kind} /><span class="clip">${row.name}</span></span>
    <span class=${`num ${badA ? "bad" : ""}`}>${row.a === null ? "" : `${badA ? "✗ " : ""}${duration(x)}`}</span><span class=${`num ${badB ? "bad" : ""}`}>${row.b === null ? "" : `${badB ? "✗ " : ""}${duration(y)}`}</span>
    <span class=${`num ${only ? "muted" : ""}`}>${only || (x !== null && y !== null && x !== y ? `${y >= x ? "+" : "−"}${duration(Math.abs(y - x))}` : "")}</span></button>`;
}

/** @param {import("../types.js").SpanBody|null} span @param {"input"|"output"} side */
function sideText(span, side) {
  if (!span) return "";
  const m = span.messages;
  const list = side === "input" ? [...(m?.instructions ?? []), ...(m?.input ?? [])] : m?.output ?? [];
  if (list.length) return list.map((message) => `${message.role}:\n${plainText(message)}`).join("\n\n").slice(0, COMPARED);
  const text = span[side] ?? "";
  return (prettyJson(text) ?? text).slice(0, COMPARED);
}

/** @param {{a: string, b: string, spanA: string|null, spanB: string|null, name: string, kind: string}} props */
function StepDiff({ a, b, spanA, spanB, name, kind }) {
  const [both, setBoth] = useState(/** @type {any[]|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const control = new AbortController();
    const one = (/** @type {string} */ trace, /** @type {string|null} */ span) => (span === null ? Promise.resolve(null) : get(`/spans/${seg(trace)}/${seg(span)}`, {}, control.signal));
    Promise.all([one(a, spanA), one(b, spanB)]).then(setBoth, (problem) => !control.signal.aborted && setError(problem));
    return () => control.abort();
  }, [spanA, spanB]);
  return html`<div class="row cmp-name"><${Kind} kind=${kind} /><h2 class="clip grow">${name}</h2>${spanA && html`<a class="btn small" href=${href(["t", a], { span: spanA })}>Open A</a>`}${spanB && html`<a class="btn small" href=${href(["t", b], { span: spanB })}>Open B</a>`}</div>
    ${error && html`<${Problem} error=${error} />`}${!both && !error && html`<div class="muted">Loading …</div>`}
    ${both && ["input", "output"].map((side) => html`<section key=${side}><h3>${side}</h3><${Diff} a=${sideText(both[0], /** @type {any} */ (side))} b=${sideText(both[1], /** @type {any} */ (side))} /></section>`)}
    ${both && (both[0]?.error || both[1]?.error) && html`<section><h3>error</h3><${Diff} a=${both[0]?.error?.message ?? ""} b=${both[1]?.error?.message ?? ""} /></section>`}`;
}

/** @param {{a: string, b: string}} props */
function Diff({ a, b }) {
  if (!a && !b) return html`<p class="muted">Nothing was recorded on either side.</p>`;
  if (a === b) return html`<details class="same"><summary class="muted">the same on both sides</summary><pre class="text">${a}</pre></details>`;
  const rows = diffLines(a, b);
  const near = new Uint8Array(rows.length);
  rows.forEach((r, k) => {
    if (r.type !== "same") near.fill(1, Math.max(0, k - AROUND), k + AROUND + 1);
  });
  let hidden = 0;
  const out = [];
  for (let k = 0; k <= rows.length; k++) {
    if (k < rows.length && !near[k]) {
      hidden++;
      continue;
    }
    if (hidden) out.push(html`<span class="d-skip">${count(hidden)} same lines</span>`);
    hidden = 0;
    if (k < rows.length) out.push(html`<span class=${`d-${rows[k].type}`}>${rows[k].type === "gone" ? "− " : rows[k].type === "new" ? "+ " : "  "}${rows[k].words.map((w) => (w.type === "same" ? w.text : html`<mark>${w.text}</mark>`))}${"\n"}</span>`);
  }
  return html`<pre class="diff">${out}</pre>`;
}

/** Choosing what to compare with. @param {{a: string, b: string}} props */
function Pick({ a, b }) {
  const [rows, setRows] = useState(/** @type {TraceRow[]|null} */ (null));
  const [first, setFirst] = useState(/** @type {TraceRow|null} */ (null));
  useEffect(() => {
    const control = new AbortController();
    const from = a || b;
    (async () => {
      const base = from ? (await get(`/traces/${seg(from)}`, {}, control.signal)).trace : null;
      setFirst(base);
      // Runs of the same name are what one compares; without any, whatever is newest.
      const same = base ? (await get("/traces", { q: `root.name:"${base.name.replaceAll('"', " ")}"`, limit: 50 }, control.signal).catch(() => ({ traces: [] }))).traces : [];
      const other = same.filter((/** @type {TraceRow} */ t) => t.id !== base?.id);
      setRows(other.length ? other : (await get("/traces", { limit: 50 }, control.signal)).traces.filter((/** @type {TraceRow} */ t) => t.id !== base?.id));
    })().catch(() => {});
    return () => control.abort();
  }, [a, b]);
  return html`<div class="page"><div class="title"><h1>Compare</h1>${first && html`<span class="muted">${first.name} <span class="mono">${shortId(first.id)}</span> with …</span>`}</div>
    ${rows && html`<div class="table-scroll"><table class="data"><thead><tr><th>trace</th><th>status</th><th class="num">duration</th><th class="num">cost</th><th class="num">spans</th><th class="num">started</th></tr></thead><tbody>${rows.map((t) => html`<tr key=${t.id}>
      <td class="wide"><a class="clip" href=${href(["compare"], first ? { a: first.id, b: t.id } : { a: t.id })}><b>${t.name}</b> <span class="muted mono">${shortId(t.id)}</span></a><span class="clip sub">${t.input ?? ""}</span></td><td><span class="row"><${StatusMark} status=${t.status} /><${ErrorBadge} errors=${t.errors} status=${t.status} /></span></td><td class="num">${duration(t.duration)}</td><td class="num">${t.cost === null ? "–" : money(t.cost)}</td><td class="num">${count(t.spans)}</td><td class="num muted">${ago(t.start)}</td></tr>`)}</tbody></table></div>`}</div>`;
}
