// @ts-check
// Conversations: the list of sessions, and one session as what was asked and answered, turn by turn.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact-htm-signals.js";
import { get, seg } from "../api.js";
import { ago, count, duration, money, plural, short, toMs, totalTokens, when } from "../fmt.js";
import { go, href, onKeys, route, setQuery } from "../state.js";
import { Empty, ErrorBadge, Problem, Segments, StatusMark, WINDOWS } from "../parts/bits.js";
import { ReadingSwitch, Text } from "../parts/text.js";
import { Thumbs } from "../parts/scoring.js";

/** @typedef {import("../types.js").SessionRow} SessionRow */
/** @typedef {import("../types.js").TraceRow} TraceRow */

export default function Sessions() {
  const id = route.value.path[0];
  return id === undefined ? html`<${List} />` : html`<${Session} key=${id} id=${id} />`;
}

function List() {
  const { since = "7d" } = route.value.query;
  const [rows, setRows] = useState(/** @type {SessionRow[]|null} */ (null));
  const [next, setNext] = useState(/** @type {string|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [cursor, setCursor] = useState(-1);
  useEffect(() => {
    document.title = "Sessions · ironspan";
    const control = new AbortController();
    get("/sessions", { since }, control.signal).then((answer) => (setRows(answer.sessions), setNext(answer.next), setError(null)), (problem) => !control.signal.aborted && setError(problem));
    return () => control.abort();
  }, [since]);
  const more = async () => {
    const answer = await get("/sessions", { since, cursor: next }).catch((problem) => (setError(problem), null));
    if (answer) {
      setRows([...(rows ?? []), ...answer.sessions]);
      setNext(answer.next);
    }
  };
  useLayoutEffect(() => onKeys({
    j: () => setCursor(Math.min((rows?.length ?? 0) - 1, cursor + 1)), k: () => setCursor(Math.max(0, cursor - 1)),
    Enter: () => rows?.[cursor] && go(href(["sessions", rows[cursor].session])),
  }), [rows, cursor]);

  return html`<div class="page"><div class="title"><h1>Sessions</h1><${Segments} label="Window of time" value=${since} options=${WINDOWS} onPick=${(/** @type {string} */ v) => setQuery({ since: v })} /></div>
    ${error && html`<${Problem} error=${error} />`}
    ${!rows && !error && html`<div class="loading">Loading …</div>`}
    ${rows && !rows.length && html`<${Empty} title="No sessions"><p>A trace belongs to a session when it names one, for instance with <code>ironspan.scope(session="…")</code>.</p><//>`}
    ${rows && rows.length > 0 && html`<div class="table-scroll"><table class="data"><thead><tr><th>session</th><th>first question</th><th class="num">turns</th><th>errors</th><th class="num">duration</th><th class="num">tokens</th><th class="num">cost</th><th class="num">last</th></tr></thead>
      <tbody>${rows.map((s, k) => html`<tr key=${s.session} class=${k === cursor ? "active" : ""}>
        <td class="name"><a class="clip" href=${href(["sessions", s.session])} title=${s.session}>${s.session}</a>${s.user && html`<span class="sub clip">${s.user}</span>`}</td>
        <td class="wide"><span class="clip">${s.first ?? ""}</span></td><td class="num">${count(s.traces)}</td><td>${s.errors > 0 ? html`<span class="warn">${count(s.errors)}</span>` : html`<span class="muted">0</span>`}</td>
        <td class="num">${duration(s.duration)}</td><td class="num">${short(s.tokens)}</td><td class="num">${s.cost === null ? "–" : money(s.cost)}</td><td class="num muted" title=${when(s.end)}>${ago(s.end)}</td></tr>`)}</tbody></table></div>
      ${next && html`<div class="pager"><button class="btn" onClick=${more}>Older sessions</button></div>`}`}
  </div>`;
}

/** @param {{id: string}} props */
function Session({ id }) {
  const [answer, setAnswer] = useState(/** @type {{session: SessionRow, turns: TraceRow[]}|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [at, setAt] = useState(0);
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const load = (/** @type {AbortSignal} */ signal) =>
    get(`/sessions/${seg(id)}`, {}, signal).then((found) => (setAnswer(found), setError(null)), (problem) => !signal.aborted && setError(problem));
  useEffect(() => {
    document.title = `${id} · ironspan`;
    const control = new AbortController();
    load(control.signal);
    return () => control.abort();
  }, [id]);
  const show = (/** @type {number} */ k) => {
    setAt(k);
    box.current?.querySelector(`[data-turn="${k}"]`)?.scrollIntoView({ block: "start" });
  };
  const turns = answer?.turns ?? [];
  useLayoutEffect(() => onKeys({
    j: () => show(Math.min(turns.length - 1, at + 1)), k: () => show(Math.max(0, at - 1)), Enter: () => turns[at] && go(href(["t", turns[at].id])),
  }), [turns, at]);
  if (error) return html`<div class="page"><${Problem} error=${error} /><a class="btn" href="#/sessions">All sessions</a></div>`;
  if (!answer) return html`<div class="loading">Loading the session …</div>`;
  const { session } = answer;
  let spent = 0;
  return html`<div class="session">
    <header class="trace-header"><div class="trace-title"><h1 class="clip" title=${id}>${id}</h1></div><div class="reading"><${ReadingSwitch} /></div>
      <dl class="facts"><div><dt>turns</dt><dd>${count(session.traces)}</dd></div>${session.user && html`<div><dt>user</dt><dd class="clip">${session.user}</dd></div>`}<div><dt>from first to last</dt><dd>${duration(session.duration)}</dd></div><div><dt>tokens</dt><dd>${short(session.tokens)}</dd></div><div><dt>cost</dt><dd>${session.cost === null ? "–" : money(session.cost)}</dd></div><div><dt>errors</dt><dd class=${session.errors ? "warn" : ""}>${count(session.errors)}</dd></div><div title=${when(session.start)}><dt>began</dt><dd>${ago(session.start)}</dd></div></dl></header>
    <div class="session-split">
      <nav class="turns" aria-label="Turns">${turns.map((t, k) => html`<button key=${t.id} aria-current=${k === at} onClick=${() => show(k)}><span class="muted num">${k + 1}</span><span class="clip grow">${t.input ?? t.name}</span><span class="muted num">${duration(t.duration)}</span></button>`)}</nav>
      <div class="talk" ref=${box}>${turns.map((t, k) => {
        spent += t.cost ?? 0;
        const before = k ? (toMs(t.start) - toMs(turns[k - 1].start)) * 1e6 - (turns[k - 1].duration ?? 0) : 0;
        return html`<section key=${t.id} data-turn=${k} class="talk-turn">
          ${before > 60e9 && html`<div class="gap muted">${duration(before)} later</div>`}
          ${t.input !== null && html`<div class="turn turn-user"><div class="turn-head"><b>${t.user ?? "user"}</b><span class="muted" title=${when(t.start)}>${ago(t.start)}</span></div><${Text} text=${t.input} /></div>`}
          <div class="turn"><div class="turn-head"><b class="clip">${t.agents[0] ?? t.name}</b>${t.status !== "ok" && html`<${StatusMark} status=${t.status} />`}<${ErrorBadge} errors=${t.errors} status=${t.status} /><span class="grow"></span>
              <span class="muted num">${duration(t.duration)} · ${short(totalTokens(t.tokens))} tok · ${t.cost === null ? "–" : money(t.cost)}${k ? html` <span title="Cost of the session up to here">(${money(spent)})</span>` : ""}</span></div>
            ${t.output !== null ? html`<${Text} text=${t.output} prefer="markdown" />` : html`<p class=${t.error ? "bad" : "muted"}>${t.error ?? (t.status === "running" ? "running …" : "No answer was recorded.")}</p>`}
            <div class="row turn-foot"><a class="btn small" href=${href(["t", t.id])}>Open the trace</a><${Thumbs} trace=${t.id} scores=${t.scores.map((s, n) => ({ id: -1 - n, span: "", comment: null, source: "user", author: "", time: "0", ...s }))} onChange=${() => load(new AbortController().signal)} />
              ${t.scores.map((s) => html`<span class="tag" key=${s.name}>${s.name} ${s.label ?? s.value}</span>`)}</div></div>
        </section>`;
      })}${turns.length > 0 && html`<p class="muted">${plural(turns.length, "turn")}</p>`}</div>
    </div></div>`;
}
