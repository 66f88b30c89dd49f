// @ts-check
// What failed over a window, in groups of one agent, span and kind of exception: how often, in how many traces, how
// many were recovered from, and when.

import { html, useEffect, useLayoutEffect, useState } from "../vendor/preact-htm-signals.js";
import { get } from "../api.js";
import { ago, count, percent, when } from "../fmt.js";
import { go, href, onKeys, route, setQuery } from "../state.js";
import { Empty, Problem, Segments, Trend, WINDOWS } from "../parts/bits.js";
import { quoted } from "../parts/filterbar.js";

/** @typedef {import("../types.js").ErrorGroup} ErrorGroup */

export default function Errors() {
  const { since = "7d", q = "" } = route.value.query;
  const [groups, setGroups] = useState(/** @type {ErrorGroup[]|null} */ (null));
  const [next, setNext] = useState(/** @type {string|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [cursor, setCursor] = useState(-1);

  useEffect(() => {
    document.title = "Errors · ironspan";
    const control = new AbortController();
    get("/errors", { since, q }, control.signal).then((answer) => (setGroups(answer.groups), setNext(answer.next), setError(null)), (problem) => !control.signal.aborted && setError(problem));
    return () => control.abort();
  }, [since, q]);
  const more = async () => {
    const answer = await get("/errors", { since, q, cursor: next }).catch((problem) => (setError(problem), null));
    if (answer) {
      setGroups([...(groups ?? []), ...answer.groups]);
      setNext(answer.next);
    }
  };
  const open = (/** @type {ErrorGroup} */ g) => go(href(["t", g.example.trace], { span: g.example.span }));
  useLayoutEffect(() => onKeys({
    j: () => setCursor(Math.min((groups?.length ?? 0) - 1, cursor + 1)), k: () => setCursor(Math.max(0, cursor - 1)),
    Enter: () => groups?.[cursor] && open(groups[cursor]),
  }), [groups, cursor]);

  return html`<div class="page"><div class="title"><h1>Errors</h1><${Segments} label="Window of time" value=${since} options=${WINDOWS} onPick=${(/** @type {string} */ v) => setQuery({ since: v })} /></div>
    ${error && html`<${Problem} error=${error} />`}
    ${!groups && !error && html`<div class="loading">Loading …</div>`}
    ${groups && !groups.length && html`<${Empty} title="Nothing failed"><p>No span failed in this window.</p><//>`}
    ${groups && groups.length > 0 && html`<div class="table-scroll"><table class="data errors"><thead><tr><th>what failed</th><th class="num">count</th><th class="num">traces</th><th class="num">recovered</th><th class="num">first</th><th class="num">last</th><th>trend</th></tr></thead>
      <tbody>${groups.map((g, k) => html`<tr key=${g.id} class=${k === cursor ? "active" : ""}>
        <td class="wide"><a class="clip group-name" href=${href(["t", g.example.trace], { span: g.example.span })} title="The newest example">${g.agent && g.agent !== g.name ? html`<span class="muted">${g.agent} · </span>` : ""}${g.name}${g.type ? html` <span class="bad mono">${g.type}</span>` : ""}</a><span class="clip sub" title=${g.message ?? ""}>${g.message ?? ""}</span></td>
        <td class="num"><b>${count(g.count)}</b></td><td class="num"><a href=${href(["traces"], { q: [`name:${quoted(g.name)}`, g.agent ? `agent:${quoted(g.agent)}` : "", "errors:any"].filter(Boolean).join(" "), since })}>${count(g.traces)}</a></td>
        <td class="num"><span class=${g.recovered >= g.traces ? "warn" : g.recovered ? "" : "bad"} title=${`${count(g.recovered)} of ${count(g.traces)} traces went on and did not fail`}>${percent(g.recovered / Math.max(1, g.traces))}</span></td>
        <td class="num muted" title=${when(g.first)}>${ago(g.first)}</td><td class="num" title=${when(g.last)}>${ago(g.last)}</td><td><${Trend} values=${g.trend} label=${`${count(g.count)} in the window`} /></td></tr>`)}</tbody></table></div>
      ${next && html`<div class="pager"><button class="btn" onClick=${more}>More</button></div>`}`}
  </div>`;
}
