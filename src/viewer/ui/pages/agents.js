// @ts-check
// All agents over a window: who calls whom, and a table of what they cost and how they changed against the window
// before. The same table serves tools, models and users.

import { html, useEffect, useState } from "../vendor/preact-htm-signals.js";
import { get } from "../api.js";
import { change, count, duration, money, percent, short } from "../fmt.js";
import { go, href, remembered, route, setQuery } from "../state.js";
import { Empty, Problem, Segments, WINDOWS } from "../parts/bits.js";
import { quoted } from "../parts/filterbar.js";
import { GraphView } from "../parts/graph.js";

/** @type {[string, string][]} */
const BY = [["agent", "Agents"], ["tool", "Tools"], ["model", "Models"], ["user", "Users"], ["name", "Names"]];
/** What the filter calls a row of each table. @type {Record<string, string>} */
const TERM = { agent: "agent", tool: "name", model: "model", user: "user", name: "name" };
const sortBy = remembered("agents-sort", "count");
/** @type {[string, string][]} */
const COLUMNS = [["count", "calls"], ["errors", "errors"], ["p50", "p50"], ["p95", "p95"], ["p99", "p99"], ["tokens", "tokens"], ["cost", "cost"]];

export default function Agents() {
  const { since = "24h", by = "agent" } = route.value.query;
  const [graph, setGraph] = useState(/** @type {import("../types.js").Graph|null} */ (null));
  const [table, setTable] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [most, setMost] = useState(50);

  useEffect(() => {
    document.title = "Agents · ironspan";
    const control = new AbortController();
    get("/graph", { since }, control.signal).then(setGraph, (problem) => !control.signal.aborted && setError(problem));
    return () => control.abort();
  }, [since]);
  useEffect(() => {
    const control = new AbortController();
    get("/metrics/table", { by, since }, control.signal).then((answer) => (setTable(answer), setError(null)), (problem) => !control.signal.aborted && setError(problem));
    return () => control.abort();
  }, [since, by]);

  const rows = table ? [...table.rows].sort((a, b) => (b[sortBy.value] ?? -1) - (a[sortBy.value] ?? -1)) : [];
  const about = table?.sketched ? "≈" : "";
  const open = (/** @type {string} */ name, /** @type {string} */ term) => go(href(["traces"], { q: `${term}:${quoted(name)}`, since }));
  return html`<div class="page"><div class="title"><h1>Agents</h1><${Segments} label="Window of time" value=${since} options=${WINDOWS} onPick=${(/** @type {string} */ v) => setQuery({ since: v })} /></div>
    ${error && html`<${Problem} error=${error} />`}
    ${graph && graph.nodes.length > 0 && html`<div class="panel topology"><${GraphView} graph=${graph} nodeHint="its traces" onNode=${(/** @type {any} */ n) => open(n.name, n.kind === "agent" ? "agent" : "name")}
      onEdge=${(/** @type {any} */ e) => {
        const to = graph.nodes.find((n) => n.id === e.to);
        if (to) open(to.name, to.kind === "agent" ? "agent" : "name");
      }} /></div>`}
    <div class="title sub-title"><${Segments} label="Rows of the table" value=${by} options=${BY} onPick=${(/** @type {string} */ v) => setQuery({ by: v === "agent" ? "" : v })} /></div>
    ${table && !rows.length && html`<${Empty} title="Nothing in this window"><button class="btn" onClick=${() => setQuery({ since: "30d" })}>Look at 30 days</button><//>`}
    ${rows.length > 0 && html`<div class="table-scroll"><table class="data"><thead><tr><th>${BY.find(([id]) => id === by)?.[1].replace(/s$/, "").toLowerCase()}</th>
      ${COLUMNS.map(([id, name]) => html`<th key=${id} class="num" aria-sort=${sortBy.value === id ? "descending" : undefined}><button class="sort" aria-pressed=${sortBy.value === id} onClick=${() => (sortBy.value = id)}>${name}${sortBy.value === id ? " ↓" : ""}</button></th>`)}<th class="num">cost / call</th></tr></thead>
      <tbody>${rows.slice(0, most).map((r) => html`<tr key=${r.key}>
        <td class="name"><a class="clip" href=${href(["traces"], { q: `${TERM[by] ?? by}:${quoted(r.key)}`, since })} title=${r.key}>${r.key || "(none)"}</a></td>
        <td class="num">${short(r.count)}<${Delta} now=${r.count} before=${r.before?.count} plain /></td>
        <td class=${`num ${r.errors ? "bad" : ""}`}>${r.errors ? `${count(r.errors)} · ${percent(r.errors / r.count)}` : html`<span class="muted">0</span>`}</td>
        <td class="num">${about}${duration(r.p50)}</td><td class="num">${about}${duration(r.p95)}<${Delta} now=${r.p95} before=${r.before?.p95} /></td><td class="num">${about}${duration(r.p99)}</td>
        <td class="num">${short(r.tokens)}</td><td class="num">${r.cost === null ? html`<span class="muted">–</span>` : money(r.cost)}<${Delta} now=${r.cost} before=${r.before?.cost} /></td>
        <td class="num">${r.cost === null ? html`<span class="muted">–</span>` : money(r.cost / r.count)}</td></tr>`)}</tbody></table></div>
      ${rows.length > most && html`<div class="pager"><button class="btn" onClick=${() => setMost(most + 200)}>${count(rows.length - most)} more</button></div>`}
      ${table.sketched && html`<p class="muted note">≈ is read from sketches, within 1 %.</p>`}`}
    ${(!graph || !table) && !error && html`<div class="loading">Loading …</div>`}
  </div>`;
}

/** How a figure changed against the window before. @param {{now: number|null, before: number|null|undefined, plain?: boolean}} props */
function Delta({ now, before, plain = false }) {
  const text = change(now, before);
  if (!text || text === "±0 %") return null;
  return html`<span class=${`delta ${plain ? "" : text.startsWith("+") ? "up" : "down"}`} title="Against the window before">${text}</span>`;
}
