// @ts-check
// One span with its content. What failed comes first, with the other attempts beside it; then what went in and out; then
// the rest, folded. The head shows at once from the skeleton, the content arrives after it.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm-signals.js";
import { get, seg } from "../api.js";
import { bytes, count, digits3, duration, money, percent, short, toMs, when } from "../fmt.js";
import { copy, href } from "../state.js";
import { KINDS, STATUSES, children, failed, nameOf, textOf } from "../tree.js";
import { CopyButton, Kind, Problem, StatusMark } from "./bits.js";
import { prettyJson } from "./code.js";
import { Conversation } from "./messages.js";
import { ScoreForm, ScoreList } from "./scoring.js";
import { ReadingSwitch, Text, Value } from "./text.js";

/** @typedef {import("../types.js").SpanBody} SpanBody */
/** @typedef {import("../tree.js").Tree} Tree */

/** Contents of this many spans are kept. */
const KEPT = 60;
/** @type {Map<string, SpanBody>} */
const cache = new Map();

/** @param {string} trace @param {string} span @param {boolean} lasting whether the span has ended @param {AbortSignal} [signal] */
export async function spanBody(trace, span, lasting, signal) {
  const key = `${trace}/${span}`;
  const known = cache.get(key);
  if (known) return known;
  const body = await get(`/spans/${seg(trace)}/${seg(span)}`, {}, signal);
  if (lasting) {
    cache.set(key, body);
    if (cache.size > KEPT) cache.delete(/** @type {string} */ (cache.keys().next().value));
  }
  return body;
}

/**
 * @param {{traceId: string, tree: Tree, index: number, tries: any, scores: import("../types.js").Score[], onSelect: (i: number) => void,
 *   onClose: () => void, onScores: () => void}} props
 */
export function Detail({ traceId, tree, index, tries, scores, onSelect, onClose, onScores }) {
  const { spans } = tree;
  const id = spans.id[index];
  const [body, setBody] = useState(/** @type {SpanBody|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const status = STATUSES[spans.status[index]] ?? "ok";

  useEffect(() => {
    const control = new AbortController();
    setError(null);
    const known = cache.get(`${traceId}/${id}`);
    if (known) setBody(known);
    else {
      spanBody(traceId, id, status !== "running", control.signal).then(
        (found) => !control.signal.aborted && setBody(found),
        (problem) => !control.signal.aborted && setError(problem),
      );
    }
    return () => control.abort();
  }, [traceId, id, status]);
  useEffect(() => box.current?.scrollTo(0, 0), [id]);

  const whole = async () => {
    const all = await get(`/spans/${seg(traceId)}/${seg(id)}`, { whole: 1 });
    cache.set(`${traceId}/${id}`, all);
    setBody(all);
  };
  const kind = KINDS[spans.kind[index]] ?? "span";
  const agent = textOf(spans, spans.agent[index]);
  const model = textOf(spans, spans.model[index]);
  const here = body?.id === id ? body : null;
  const mine = scores.filter((s) => (s.span ?? "") === id);

  return html`<div class="detail" ref=${box} tabindex="-1" aria-label="Span">
    <div class="detail-head">
      <div class="row"><${Kind} kind=${kind} /><h2 class="clip grow" title=${nameOf(tree, index)}>${nameOf(tree, index)}</h2>
        <button class="btn-icon quiet" title="Copy a link to this span" aria-label="Copy a link to this span" onClick=${() => copy(`${location.origin}/${href(["t", traceId], { span: id })}`)}>
          <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round" aria-hidden="true"><path d="M6.5 9.5l3-3M7.5 4.5l1.6-1.6a2.8 2.8 0 0 1 4 4L11.500 8.500M8.500 11.500l-1.600 1.600a2.8 2.8 0 0 1-4-4L4.500 7.500" /></svg></button>
        <button class="btn-icon quiet close-detail" title="Close" aria-label="Close" onClick=${onClose}>×</button></div>
      <div class="detail-facts">
        ${status !== "ok" && html`<${StatusMark} status=${status} badge />`}
        <span>${kind}</span>${agent && agent !== nameOf(tree, index) && html`<span>agent <b>${agent}</b></span>`}${model && html`<span><b>${model}</b></span>`}
        <span><b>${duration(spans.duration[index])}</b>${status === "running" ? " so far" : ""}</span><span title="From the trace's start">at ${duration(tree.start[index] - tree.from)}</span>
        ${spans.input_tokens[index] !== null || spans.output_tokens[index] !== null ? html`<span>${count(spans.input_tokens[index])} in / ${count(spans.output_tokens[index])} out</span>` : ""}
        ${spans.cost[index] !== null && html`<span><b>${money(spans.cost[index])}</b></span>`}
        ${spans.first_chunk[index] !== null && html`<span title="Time to the first token">first token ${duration(spans.first_chunk[index])}</span>`}
      </div>
    </div>
    <div class="detail-body">
      ${failed(tree, index) && html`<${Failure} tree=${tree} index=${index} body=${here} tries=${tries} onSelect=${onSelect} />`}
      ${!failed(tree, index) && tries.of.has(index) && html`<section><${Attempts} tree=${tree} index=${index} tries=${tries} onSelect=${onSelect} /></section>`}
      ${error && html`<${Problem} error=${error} />`}
      ${here ? html`<${Content} span=${here} tree=${tree} index=${index} onSelect=${onSelect} onWhole=${whole} />` : !error && html`<div class="muted pending">Loading the content …</div>`}
      ${here && html`<section><h3>Scores</h3>${mine.length > 0 && html`<${ScoreList} scores=${mine} onChange=${onScores} />`}<${ScoreForm} trace=${traceId} span=${id} onChange=${onScores} /></section>
        <${Rest} span=${here} onWhole=${whole} />`}
    </div>
  </div>`;
}

/** @param {{tree: Tree, index: number, body: SpanBody|null, tries: any, onSelect: (i: number) => void}} props */
function Failure({ tree, index, body, tries, onSelect }) {
  const message = body?.error?.message ?? textOf(tree.spans, tree.spans.error[index]) ?? "failed";
  const stack = body?.error?.stack;
  const cause = tree.spans.own_error[index] ? -1 : firstFailureBelow(tree, index);
  const text = [body?.error?.type, message].filter(Boolean).join(": ");
  return html`<section class="failure" role="alert">
    <div class="row top-align"><div class="grow"><strong>${body?.error?.type ? html`<span class="mono">${body.error.type}</span> ` : ""}${message}</strong></div><${CopyButton} text=${stack ?? text} label="Copy the error" /></div>
    ${stack && html`<${Text} text=${stack} json=${false} prefer="text" />`}
    ${cause >= 0 && html`<button class="linklike" onClick=${() => onSelect(cause)}>Where it came from: ${nameOf(tree, cause)}</button>`}
    <${Attempts} tree=${tree} index=${index} tries=${tries} onSelect=${onSelect} />
  </section>`;
}

/** @param {Tree} tree @param {number} index */
function firstFailureBelow(tree, index) {
  let at = index;
  for (let steps = 0; steps < tree.n; steps++) {
    const next = [...children(tree, at)].find((c) => tree.spans.own_error[c] || tree.troubled[c]);
    if (next === undefined) return -1;
    if (tree.spans.own_error[next]) return next;
    at = next;
  }
  return -1;
}

/** @param {{tree: Tree, index: number, tries: any, onSelect: (i: number) => void}} props */
function Attempts({ tree, index, tries, onSelect }) {
  const attempt = tries.of.get(index);
  if (!attempt) return null;
  return html`<div class="attempts"><h3>Attempts</h3>${attempt.group.members.map((/** @type {number} */ i, /** @type {number} */ k) => html`<button key=${i} class=${i === index ? "here" : ""} aria-current=${i === index} onClick=${() => onSelect(i)}>
    <span>try ${k + 1}</span><span class=${failed(tree, i) ? "bad" : "good"}>${failed(tree, i) ? "✗" : "✓"}</span>
    <span class="clip grow">${failed(tree, i) ? textOf(tree.spans, tree.spans.error[i]) ?? "failed" : "OK"}</span><span class="muted">${duration(tree.spans.duration[i])}</span></button>`)}</div>`;
}

/** @param {{span: SpanBody, tree: Tree, index: number, onSelect: (i: number) => void, onWhole: () => Promise<void>}} props */
function Content({ span, tree, index, onSelect, onWhole }) {
  const talk = span.messages && ((span.messages.input?.length ?? 0) + (span.messages.output?.length ?? 0) + (span.messages.instructions?.length ?? 0) > 0);
  const documents = span.documents ?? [];
  const nothing = !talk && !documents.length && span.input === null && span.output === null && !span.query;
  return html`<div class="content">
    ${!nothing && html`<div class="reading"><${ReadingSwitch} /></div>`}
    ${talk && html`<${Conversation} span=${span} tree=${tree} index=${index} onSelect=${onSelect} onWhole=${onWhole} />`}
    ${span.query && html`<section><h3>Query</h3><div class="bubble role-user"><${Text} text=${span.query} whole=${span.whole?.query} onWhole=${onWhole} /></div></section>`}
    ${documents.length > 0 && html`<section><h3>Documents <span class="muted">${count(documents.length)}</span></h3>${documents.map((d, k) => html`<${Document} key=${k} doc=${d} place=${k + 1} />`)}</section>`}
    ${!talk && span.input !== null && span.input !== undefined && html`<section><h3>Input<${CopyButton} text=${span.input} /></h3><div class="bubble role-user"><${Text} text=${span.input} whole=${span.whole?.input} onWhole=${onWhole} /></div></section>`}
    ${!talk && span.output !== null && span.output !== undefined && html`<section><h3>Output<${CopyButton} text=${span.output} /></h3><div class="bubble role-assistant"><${Text} text=${span.output} prefer="markdown" whole=${span.whole?.output} onWhole=${onWhole} /></div></section>`}
    ${nothing && html`<p class="muted pending">No input or output was recorded for this span.</p>`}
  </div>`;
}

/** @param {{doc: NonNullable<SpanBody["documents"]>[number], place: number}} props */
function Document({ doc, place }) {
  const meta = doc.metadata && typeof doc.metadata === "object" ? Object.entries(doc.metadata) : [];
  const known = typeof doc.score === "number";
  const width = known ? Math.max(0, Math.min(1, /** @type {number} */ (doc.score))) : 0;
  return html`<article class="document"><header class="row"><span class="muted">${place}</span><b class="mono clip grow">${doc.id ?? "document"}</b>
      ${known && html`<span class="doc-score"><i style=${{ width: `${width * 100}%` }}></i></span><span>${digits3(/** @type {number} */ (doc.score))}</span>`}<${CopyButton} text=${doc.content ?? ""} /></header>
    ${doc.content && html`<${Text} text=${doc.content} />`}
    ${meta.length > 0 && html`<div class="doc-meta">${meta.slice(0, 12).map(([k, v]) => html`<span key=${k} class="clip"><span class="muted">${k}</span> ${typeof v === "string" ? v : JSON.stringify(v)}</span>`)}</div>`}
  </article>`;
}

/** @param {{span: SpanBody, onWhole: () => Promise<void>}} props */
function Rest({ span, onWhole }) {
  const usage = span.usage;
  const attributes = Object.entries(span.attributes ?? {});
  const resource = Object.entries(span.resource ?? {});
  const events = span.events ?? [];
  const links = span.links ?? [];
  const used = usage && Object.values(usage).some((v) => v !== null && v !== undefined);
  return html`
    ${used && html`<section><h3>Usage</h3><dl class="usage">
      ${usage.input !== null && html`<div><dt>input</dt><dd>${count(usage.input)}</dd></div>`}${usage.cached != null && html`<div><dt>of it cached</dt><dd>${count(usage.cached)}${usage.input ? html` <span class="muted">${percent(usage.cached / usage.input)}</span>` : ""}</dd></div>`}
      ${usage.output !== null && html`<div><dt>output</dt><dd>${count(usage.output)}</dd></div>`}${usage.reasoning != null && html`<div><dt>of it reasoning</dt><dd>${count(usage.reasoning)}</dd></div>`}
      <div><dt>cost</dt><dd>${money(span.cost)}</dd></div>
      ${usage.output && span.duration ? html`<div><dt>output per second</dt><dd>${short(usage.output / (Math.max(1, span.duration - (span.first_chunk ?? 0)) / 1e9))}</dd></div>` : ""}</dl></section>`}
    ${(span.tools?.length ?? 0) > 0 && html`<${Fold} name="Tools offered" n=${span.tools?.length ?? 0}>${span.tools?.map((t, k) => html`<details class="tool-offer" key=${k}><summary><b class="mono">${t.name}</b> <span class="muted">${t.description ?? ""}</span></summary>${t.parameters && html`<${Value} value=${t.parameters} />`}</details>`)}<//>`}
    <${Fold} name="Attributes" n=${attributes.length} open=${attributes.length > 0 && attributes.length <= 12}><${Pairs} entries=${attributes} onWhole=${onWhole} /><//>
    <${Fold} name="Events" n=${events.length}>${events.map((e, k) => html`<div class="event" key=${k}><div class="row"><b class="clip">${e.name}</b><span class="muted" title=${when(e.time)}>+${duration((toMs(e.time) - toMs(span.start)) * 1e6)}</span></div><${Pairs} entries=${Object.entries(e.attributes ?? {})} /></div>`)}<//>
    <${Fold} name="Links" n=${links.length}>${links.map((l, k) => html`<div class="event" key=${k}><a class="mono" href=${href(["t", l.trace], { span: l.span })}>${l.trace.slice(0, 8)} / ${l.span}</a> ${l.role && html`<span class="muted">${l.role}</span>`}<${Pairs} entries=${Object.entries(l.attributes ?? {})} /></div>`)}<//>
    <${Fold} name="Resource" n=${resource.length}><${Pairs} entries=${resource} /><//>
    <${Fold} name="Raw" note=${bytes(span.bytes)}>${() => html`<div class="raw"><${CopyButton} text=${JSON.stringify(span, null, 2)} label="Copy all of it" /><${Text} text=${prettyJson(span) ?? ""} /></div>`}<//>
    <div class="ids muted"><span>span <code>${span.id}</code><${CopyButton} text=${span.id} /></span><span>trace <code>${span.trace}</code><${CopyButton} text=${span.trace} /></span><span>began ${when(span.start)}</span></div>`;
}

/** A part that is folded until asked for; its content is not built before. @param {{name: string, n?: number, note?: string, open?: boolean, children?: any}} props */
function Fold({ name, n, note, open = false, children: content }) {
  const [shown, setShown] = useState(open);
  if (n === 0) return null;
  return html`<details class="fold" open=${shown} onToggle=${(/** @type {any} */ e) => setShown(e.currentTarget.open)}><summary><h3>${name} <span class="muted">${note ?? count(n)}</span></h3></summary>${shown && (typeof content === "function" ? content() : content)}</details>`;
}

/** Whether a value is the beginning of a long text. @param {any} v */
function isCut(v) {
  return v !== null && typeof v === "object" && v.type === "text" && typeof v.content === "string" && typeof v.whole === "number";
}

/** @param {{entries: [string, any][], onWhole?: () => Promise<void>}} props */
function Pairs({ entries, onWhole }) {
  const [wanted, setWanted] = useState("");
  const needle = wanted.toLowerCase();
  const shown = wanted ? entries.filter(([k, v]) => k.toLowerCase().includes(needle) || String(v).toLowerCase().includes(needle)) : entries;
  return html`${entries.length > 14 && html`<input class="field pairs-find" placeholder="find in these" aria-label="Find in attributes" value=${wanted} onInput=${(/** @type {any} */ e) => setWanted(e.target.value)} />`}
    <dl class="pairs">${shown.map(([k, v]) => html`<div key=${k}><dt class="mono" title=${k}>${k}</dt><dd>${typeof v === "string" ? html`<${Text} text=${v} />` : isCut(v) ? html`<${Text} text=${v.content} whole=${v.whole} onWhole=${onWhole} />` : html`<span class="mono">${JSON.stringify(v)}</span>`}<${CopyButton} text=${typeof v === "string" ? v : JSON.stringify(v)} /></dd></div>`)}</dl>`;
}
