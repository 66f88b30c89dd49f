// @ts-check
// What people and evaluators said: each name with its mean, and the scores themselves, newest first.

import { html, useEffect, useState } from "../vendor/preact-htm-signals.js";
import { get } from "../api.js";
import { ago, count, digits3, shortId, when } from "../fmt.js";
import { href, route, setQuery } from "../state.js";
import { Empty, Problem } from "../parts/bits.js";
import { scoreText } from "../parts/scoring.js";

export default function Scores() {
  const { name = "" } = route.value.query;
  const [answer, setAnswer] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    document.title = "Scores · ironspan";
    const control = new AbortController();
    get("/scores", { name }, control.signal).then((found) => (setAnswer(found), setError(null)), (problem) => !control.signal.aborted && setError(problem));
    return () => control.abort();
  }, [name]);
  return html`<div class="page"><div class="title"><h1>Scores</h1></div>
    ${error && html`<${Problem} error=${error} />`}
    ${!answer && !error && html`<div class="loading">Loading …</div>`}
    ${answer && !answer.names.length && html`<${Empty} title="No scores yet"><p>Judge a trace with the thumbs in its head, a span in its pane, or from a program through <code>POST /api/v1/scores</code>.</p><//>`}
    ${answer && answer.names.length > 0 && html`
      <div class="score-names">${[["", null, null], ...answer.names].map(([n, total, mean]) => html`<button key=${n} aria-pressed=${n === name} onClick=${() => setQuery({ name: n })}><b class="clip">${n || "All"}</b>${total !== null && html`<span class="muted">${count(total)}${mean !== null ? ` · mean ${digits3(mean)}` : ""}</span>`}</button>`)}</div>
      <div class="table-scroll"><table class="data"><thead><tr><th>name</th><th>score</th><th>comment</th><th>by</th><th>of</th><th class="num">when</th></tr></thead><tbody>
      ${answer.scores.filter((/** @type {any} */ s) => !name || s.name === name).map((/** @type {any} */ s) => html`<tr key=${s.id}><td class="name"><span class="clip">${s.name}</span></td><td><span class="row">${typeof s.value === "number" && s.value >= 0 && s.value <= 1 && html`<span class="doc-score"><i style=${{ width: `${s.value * 100}%` }}></i></span>`}<b>${scoreText(s)}</b></span></td>
        <td class="wide"><span class="clip" title=${s.comment ?? ""}>${s.comment ?? ""}</span></td><td class="muted"><span class="clip">${s.source}${s.author && s.author !== s.source ? ` · ${s.author}` : ""}</span></td>
        <td>${s.trace ? html`<a class="mono" href=${href(["t", s.trace], { span: s.span })}>${shortId(s.trace)}</a> <span class="muted">${s.span ? "span" : "trace"}</span>` : html`<span class="muted">session</span>`}</td><td class="num muted" title=${when(s.time)}>${ago(s.time)}</td></tr>`)}</tbody></table></div>`}
  </div>`;
}
