// @ts-check
// The list of traces: filter, window, how many over time, rows that grow while programs run. Rows in sight never move
// by themselves: what comes while somebody reads waits behind "n new".

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-htm-signals.js";
import { get, live } from "../api.js";
import { ago, count, date, duration, moment, money, plural, short, toMs, totalTokens, when } from "../fmt.js";
import { following, go, href, neighbours, onKeys, route, setQuery, store, stream } from "../state.js";
import { VList } from "../vlist.js";
import { Empty, ErrorBadge, FirstUse, Menu, Problem, StatusMark } from "../parts/bits.js";
import { FilterBar, quoted } from "../parts/filterbar.js";
import { Strip } from "../parts/strip.js";

/** @typedef {import("../types.js").TraceRow} TraceRow */

const PAGE = 100;
const ROW = 54;
const ROW_NARROW = 92;
/** Figures over the window are asked for again this long after the last event. */
const SETTLE_MS = 2000;
/** So many of the newest are looked at when the stream begins. */
const MISSED = 20;
/** @type {[string, string][]} */
const RANGES = [["15m", "Last 15 minutes"], ["1h", "Last hour"], ["6h", "Last 6 hours"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"], ["all", "All time"]];
const DEFAULT_RANGE = "24h";
const narrowScreen = matchMedia("(max-width: 720px)");
/** @type {[string, string][]} */
const QUICK = [["", "All"], ["status:error", "Failed"], ["errors:recovered", "Recovered"], ["status:running", "Running"]];

export default function Traces() {
  const { q = "", since = DEFAULT_RANGE, until = "", sort = "start" } = route.value.query;
  const [rows, setRows] = useState(/** @type {TraceRow[]} */ ([]));
  const [next, setNext] = useState(/** @type {string|null} */ (null));
  const [facts, setFacts] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [loading, setLoading] = useState(true);
  const [fresh, setFresh] = useState(/** @type {Map<string, TraceRow>} */ (new Map()));
  const [cursor, setCursor] = useState(-1);
  const [chosen, setChosen] = useState(/** @type {Set<string>} */ (new Set()));
  const [narrow, setNarrow] = useState(narrowScreen.matches);
  const [, setClock] = useState(0);
  const list = useRef(/** @type {import("../vlist.js").ListApi|null} */ (null));
  const fetching = useRef(false);
  const ask = useMemo(() => ({ q, since: since === "all" ? "" : since, until, sort }), [q, since, until, sort]);
  const latest = useRef({ rows, following: following.value, sort, until });
  latest.current = { rows, following: following.value, sort, until };

  const load = async (/** @type {AbortSignal} */ signal) => {
    setLoading(true);
    try {
      const answer = await get("/traces", { ...ask, limit: PAGE, facets: 1 }, signal);
      // Somebody who comes back after a week must not look at an empty page.
      if (!answer.traces.length && !q && route.value.query.since === undefined) {
        const any = await get("/status", {}, signal);
        if (any.traces > 0) return setQuery({ since: "all" }, true);
      }
      setRows(answer.traces);
      setNext(answer.next);
      setFacts(answer);
      setFresh(new Map());
      setError(null);
    } catch (problem) {
      if (signal.aborted) return;
      setError(problem);
    }
    setLoading(false);
  };
  useEffect(() => {
    document.title = "Traces · ironspan";
    const control = new AbortController();
    setCursor(-1);
    load(control.signal);
    return () => control.abort();
  }, [ask]);

  const more = async () => {
    if (!next || fetching.current) return;
    fetching.current = true;
    try {
      const answer = await get("/traces", { ...ask, limit: PAGE, cursor: next });
      if (latest.current.sort === ask.sort) {
        setRows((old) => [...old, ...answer.traces.filter((/** @type {TraceRow} */ r) => !old.some((o) => o.id === r.id))]);
        setNext(answer.next);
      }
    } catch (problem) {
      setError(problem);
      setNext(null);
    }
    fetching.current = false;
  };

  useEffect(() => {
    let timer = 0;
    /** @type {Map<string, TraceRow>} */
    const came = new Map();
    let frame = 0;
    const apply = () => {
      frame = 0;
      const now = latest.current;
      const known = new Map(now.rows.map((r, k) => [r.id, k]));
      const changed = now.rows.slice();
      /** @type {TraceRow[]} */
      const added = [];
      for (const row of came.values()) {
        const k = known.get(row.id);
        if (k !== undefined) changed[k] = row;
        else added.push(row);
      }
      came.clear();
      added.sort((a, b) => toMs(b.start) - toMs(a.start));
      const reading = (list.current?.top() ?? 0) > 40 || !now.following || now.sort !== "start";
      if (reading) {
        setFresh((old) => {
          const all = new Map(old);
          for (const row of added) all.set(row.id, row);
          return added.length ? all : old;
        });
        setRows(changed);
      } else setRows([...added, ...changed]);
      clearTimeout(timer);
      timer = window.setTimeout(() => {
        get("/traces", { ...ask, limit: 1, facets: 1 }).then((answer) => setFacts((/** @type {any} */ old) => ({ ...old, strip: answer.strip, facets: answer.facets })), () => {});
      }, SETTLE_MS);
    };
    if (until) return undefined;
    /** One change of the page per frame however many events come. @param {TraceRow[]} list */
    const take = (list) => {
      for (const row of list) came.set(row.id, row);
      if (came.size && !frame) frame = requestAnimationFrame(apply);
    };
    const control = new AbortController();
    const stop = live({ q }, (event, row) => {
      if (event === "trace") take([row]);
      // The file was made, deleted or replaced: nothing of what is shown has to be in it.
      else if (event === "store") {
        came.clear();
        load(control.signal);
        get("/status", {}, control.signal).then((status) => (store.value = status), () => {});
      }
      // What came between the list and the beginning of the stream is in neither.
      else if (event === "hello" && sort === "start") get("/traces", { ...ask, sort: "start", limit: MISSED }, control.signal).then((answer) => take(answer.traces), () => {});
    }, (state) => (stream.value = state));
    const tick = setInterval(() => setClock((n) => n + 1), 10_000);
    return () => {
      control.abort();
      stop();
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      clearInterval(tick);
    };
  }, [ask]);

  const showFresh = () => {
    setRows((old) => [...[...fresh.values()].sort((a, b) => toMs(b.start) - toMs(a.start)), ...old]);
    setFresh(new Map());
    list.current?.show(0);
  };
  useEffect(() => {
    if (following.value && fresh.size && (list.current?.top() ?? 0) <= 40 && sort === "start") showFresh();
  }, [following.value]);

  const toggle = (/** @type {string} */ id) => {
    const now = new Set(chosen);
    if (!now.delete(id)) {
      now.add(id);
      // Two are compared: the one chosen first makes room.
      if (now.size > 2) now.delete([...now][0]);
    }
    setChosen(now);
  };
  const open = (/** @type {number} */ k) => {
    if (!rows[k]) return;
    neighbours.splice(0, neighbours.length, ...rows.map((r) => r.id));
    go(href(["t", rows[k].id]));
  };
  useLayoutEffect(() => {
    const move = (/** @type {number} */ by) => {
      const k = Math.max(0, Math.min(rows.length - 1, cursor + by));
      setCursor(k);
      list.current?.show(k);
    };
    return onKeys({
      j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
      Enter: () => open(cursor), x: () => rows[cursor] && toggle(rows[cursor].id), Escape: () => setChosen(new Set()),
    });
  }, [rows, cursor, chosen]);
  useEffect(() => {
    const change = () => setNarrow(narrowScreen.matches);
    narrowScreen.addEventListener("change", change);
    return () => narrowScreen.removeEventListener("change", change);
  }, []);

  // One trace of half an hour would make all other bars a dot.
  const longest = useMemo(() => facts?.strip?.p95 ?? rows.reduce((most, r) => Math.max(most, r.duration ?? 0), 1), [rows, facts]);
  const blank = !loading && !error && !rows.length;
  const empty = blank && !q && store.value?.traces === 0;

  return html`<div class="traces">
    ${!empty && html`<div class="toolbar">
      <${FilterBar} value=${q} error=${error} onChange=${(/** @type {string} */ value) => setQuery({ q: value })} />
      <${Range} since=${since} until=${until} />
      <div class="segments quick" role="group" aria-label="Which traces">${QUICK.map(([term, name]) => html`<button key=${name}
        aria-pressed=${term ? q.split(" ").includes(term) : !QUICK.some(([t]) => t && q.split(" ").includes(t))} onClick=${() => setQuery({ q: swap(q, term) })}>${name}</button>`)}</div>
      ${facts?.facets && html`<${Facets} facets=${facts.facets} q=${q} />`}
      ${chosen.size > 0 && html`<button class="btn primary" disabled=${chosen.size !== 2} onClick=${() => go(href(["compare"], { a: [...chosen][0], b: [...chosen][1] }))}>Compare ${chosen.size} of 2</button>`}
    </div>`}
    ${!empty && facts?.strip && html`<${Strip} strip=${facts.strip} onRange=${(/** @type {string} */ a, /** @type {string} */ b) => setQuery({ since: a, until: b })} />`}
    ${error && error.status !== 400 && html`<${Problem} error=${error} retry=${() => load(new AbortController().signal)} />`}
    ${empty ? html`<div class="page"><${FirstUse} path=${store.value?.path} /></div>`
      : blank ? html`<${Empty} title="No trace fits"><p>${q ? "Nothing in this window fits the filter." : "Nothing was recorded in this window."}</p>
          <div class="row">${q && html`<button class="btn" onClick=${() => setQuery({ q: "" })}>Clear the filter</button>`}
          ${(since !== "all" || until) && html`<button class="btn" onClick=${() => setQuery({ since: "all", until: "" })}>Look at all time</button>`}</div><//>`
      : html`<div class="list-frame">
        ${fresh.size > 0 && html`<button class="fresh" onClick=${showFresh}>${plural(fresh.size, "new trace")} — show</button>`}
        <${VList} class="trace-list" label="Traces" count=${rows.length} height=${narrow ? ROW_NARROW : ROW} headerHeight=${narrow ? 0 : 32} api=${list} onEnd=${more}
          header=${html`<${Head} sort=${sort} />`}
          render=${(/** @type {number} */ k) => html`<${TraceLine} key=${rows[k].id} row=${rows[k]} longest=${longest} active=${k === cursor} chosen=${chosen.has(rows[k].id)} now=${Date.now()}
            onToggle=${toggle} onOpen=${() => open(k)} />`}
          footer=${next && html`<div class="loading">Loading older traces …</div>`} />
      </div>`}
  </div>`;
}

/** Put a quick choice in the place of the other quick choices. @param {string} q @param {string} term */
function swap(q, term) {
  const rest = q.split(" ").filter((word) => word && !QUICK.some(([t]) => t === word));
  return [...rest, term].filter(Boolean).join(" ");
}

/** @param {{since: string, until: string}} props */
function Range({ since, until }) {
  const named = RANGES.find(([id]) => id === since);
  const label = until || !named
    ? `${/^\d+$/.test(since) ? moment(toMs(since)) : since} – ${until ? moment(toMs(until)) : "now"}`
    : named[1];
  return html`<div class="row range"><${Menu} label=${html`${label} <span aria-hidden="true">▾</span>`} title="Window of time">
      ${RANGES.map(([id, name]) => html`<button key=${id} onClick=${() => setQuery({ since: id === DEFAULT_RANGE ? "" : id, until: "" })}>${name}</button>`)}<//>
    ${(until || !named) && html`<button class="btn-icon quiet" title="Back to the last 24 hours" aria-label="Back to the last 24 hours" onClick=${() => setQuery({ since: "", until: "" })}>×</button>`}
  </div>`;
}

/** @param {{facets: Record<string, [string, number][]>, q: string}} props */
function Facets({ facets, q }) {
  return html`${["agent", "model", "tag"].map((field) => facets[field]?.length > 0 && html`<${Menu} key=${field} label=${html`${field} <span aria-hidden="true">▾</span>`} title=${`Filter by ${field}`}>
    ${facets[field].slice(0, 20).map(([value, n]) => html`<button key=${value} onClick=${() => setQuery({ q: `${q} ${field}:${quoted(value)}`.trim() })}>
      <span class="clip">${value}</span><span class="muted">${count(n)}</span></button>`)}<//>`)}`;
}

/** @type {[string, string, string][]} id, word, class */
const COLUMNS = [["", "", ""], ["", "status", ""], ["", "name", ""], ["", "agents", "c-agents"], ["duration", "duration", "num"], ["cost", "cost", "num"], ["tokens", "tokens", "num c-tokens"], ["errors", "errors", "c-errors"], ["", "spans", "num c-spans"], ["start", "started", "num"]];

/** @param {{sort: string}} props */
function Head({ sort }) {
  return html`<div class="trace-head">${COLUMNS.map(([id, word, cls], k) => html`<div key=${k} class=${cls}>
    ${id ? html`<button class="sort" aria-pressed=${id === sort} title=${id === "start" ? "Newest first" : `Largest ${word} first`} onClick=${() => setQuery({ sort: id === "start" ? "" : id })}>${word}${id === sort ? " ↓" : ""}</button>` : word}</div>`)}</div>`;
}

/**
 * @param {{row: TraceRow, longest: number, active: boolean, chosen: boolean, now: number, onToggle: (id: string) => void, onOpen: () => void}} props
 */
function TraceLine({ row, longest, active, chosen, now, onToggle, onOpen }) {
  const tokens = totalTokens(row.tokens);
  const today = date(toMs(row.start)) === date(now);
  const unpriced = row.unpriced > 0 && row.cost !== null;
  return html`<div class=${`trace-line ${active ? "active" : ""} ${chosen ? "chosen" : ""}`} role="listitem" data-trace=${row.id}>
    <label class="pick" title="Choose two for comparing"><input type="checkbox" checked=${chosen} onChange=${() => onToggle(row.id)} aria-label=${`Choose ${row.name}`} /></label>
    <div class="c-status"><${StatusMark} status=${row.status} /></div>
    <a class="c-name clip" href=${href(["t", row.id])} title=${row.name} onClick=${(/** @type {MouseEvent} */ e) => {
      if (e.ctrlKey || e.metaKey || e.shiftKey) return;
      e.preventDefault();
      onOpen();
    }}>${row.name}</a>
    <div class="c-agents clip muted" title=${row.agents.join(", ")}>${row.agents.slice(0, 4).join(" ")}${row.agents.length > 4 ? ` +${row.agents.length - 4}` : ""}</div>
    <div class="c-duration num"><span class="dur-bar" aria-hidden="true"><i style=${{ width: `${Math.max(2, Math.min(100, ((row.duration ?? 0) / longest) * 100))}%` }} class=${row.status === "error" ? "bad" : row.status === "running" ? "run" : ""}></i></span>${duration(row.duration)}${row.status === "running" ? "…" : ""}</div>
    <div class="c-cost num" title=${unpriced ? `${row.unpriced} calls without a known price` : ""}>${row.cost === null && !row.unpriced ? html`<span class="muted">–</span>` : money(row.cost)}${unpriced ? "+" : ""}</div>
    <div class="c-tokens num">${short(tokens)}</div>
    <div class="c-errors"><${ErrorBadge} errors=${row.errors} status=${row.status} /></div>
    <div class="c-spans num">${short(row.spans)}</div>
    <div class="c-start num muted" title=${when(row.start)}>${today || now - toMs(row.start) < 43_200_000 ? ago(row.start, now) : moment(toMs(row.start), now)}</div>
    <div class="line-2 muted">
      <span class="clip io">${row.input ?? ""}${row.output ? html` <span class="arrow">→</span> ${row.output}` : ""}</span>
      ${row.error && html`<span class=${`clip line-error ${row.status === "error" ? "bad" : "warn"}`} title=${row.error}>${row.error}</span>`}
      ${row.session && html`<a class="clip line-session" href=${href(["sessions", row.session])} title=${`Session ${row.session}`}>${row.session}</a>`}
      ${row.tags.slice(0, 2).map((tag) => html`<span class="tag clip" key=${tag}>${tag}</span>`)}
    </div>
  </div>`;
}
