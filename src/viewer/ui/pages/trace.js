// @ts-check
// One trace: its figures, what happened in a line, and the ways to look at it. The skeleton of all spans comes in one
// request; the content of a span comes when it is chosen. A trace that still runs grows in place.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-htm-signals.js";
import { download, get, live, seg } from "../api.js";
import { ago, count, duration, money, plural, short, shortId, totalTokens, when } from "../fmt.js";
import { copy, following, go, href, neighbours, onKeys, remembered, route, setQuery, stream, tell } from "../state.js";
import { story } from "../story.js";
import { attempts, buildTree, criticalPath, errorsInOrder, find, flatten, longestRoot, reveal } from "../tree.js";
import { ErrorBadge, Menu, Problem, StatusMark } from "../parts/bits.js";
import { Replay } from "../parts/replay.js";
import { Detail } from "../parts/detail.js";
import { GraphView } from "../parts/graph.js";
import { Lanes } from "../parts/lanes.js";
import { ScoreForm, ScoreList, Thumbs } from "../parts/scoring.js";
import { Timeline, isOpen } from "../parts/timeline.js";

/** @typedef {import("../types.js").WholeTrace} WholeTrace */

/** @type {[string, string][]} */
const TABS = [["timeline", "Timeline"], ["agents", "Agents"], ["lanes", "Lanes"], ["conversation", "Conversation"]];
const showPath = remembered("critical-path", true);
const detailWidth = remembered("detail-width", 0);
const narrowScreen = matchMedia("(max-width: 900px)");
/** While a trace runs it is asked for again so often at most, and more seldom the larger it is. */
const AGAIN_MS = 400;
const AGAIN_MS_PER_SPAN = 0.15;
/** Durations of open spans grow without an event. */
const TICK_MS = 1500;

export default function Trace() {
  const { path: [wanted = ""], query } = route.value;
  const [whole, setWhole] = useState(/** @type {WholeTrace|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const loaded = useRef("");

  const load = async (/** @type {AbortSignal} */ signal) => {
    try {
      const answer = await get(`/traces/${seg(wanted)}`, {}, signal);
      if (signal.aborted) return;
      loaded.current = answer.trace.id;
      setWhole(answer);
      setError(null);
    } catch (problem) {
      if (!signal.aborted) setError(problem);
    }
  };
  // Before the empty page is painted: the answer may already be there.
  useLayoutEffect(() => {
    const control = new AbortController();
    if (!loaded.current.startsWith(wanted)) setWhole(null);
    load(control.signal);
    return () => control.abort();
  }, [wanted]);

  const running = whole !== null && (whole.trace.status === "running" || whole.trace.open > 0);
  const size = whole?.spans.n ?? 0;
  const id = whole?.trace.id ?? "";
  useEffect(() => {
    if (!id) return undefined;
    document.title = `${whole?.trace.name ?? "Trace"} · ironspan`;
    if (!running) {
      stream.value = "off";
      return undefined;
    }
    const control = new AbortController();
    let timer = 0;
    const again = (/** @type {number} */ wait) => {
      if (timer || !following.value || document.hidden) return;
      timer = window.setTimeout(async () => {
        await load(control.signal);
        timer = 0;
      }, wait + size * AGAIN_MS_PER_SPAN);
    };
    const stop = live({ q: `id:${id}` }, (event) => again(event === "hello" ? 0 : AGAIN_MS), (state) => (stream.value = state));
    const tick = setInterval(() => again(0), TICK_MS);
    return () => {
      control.abort();
      stop();
      clearTimeout(timer);
      clearInterval(tick);
    };
  }, [id, running, size]);

  if (error && !whole) {
    return html`<div class="page"><${Problem} error=${error} />
      ${error.candidates?.length > 0 && html`<div class="problem-more"><p>Traces that begin so:</p>${error.candidates.map((/** @type {string} */ c) => html`<p key=${c}><a class="mono" href=${href(["t", c])}>${c}</a></p>`)}</div>`}
      <p class="problem-more"><a class="btn" href="#/traces">All traces</a></p></div>`;
  }
  if (!whole) return html`<div class="loading">Loading the trace …</div>`;
  return html`<${View} key=${whole.trace.id} whole=${whole} query=${query} onReload=${() => load(new AbortController().signal)} />`;
}

/** @param {{whole: WholeTrace, query: Record<string, string>, onReload: () => void}} props */
function View({ whole, query, onReload }) {
  const { trace } = whole;
  const tab = TABS.some(([id]) => id === query.tab) ? query.tab : "timeline";
  const tree = useMemo(() => buildTree(whole.spans), [whole]);
  const path = useMemo(() => criticalPath(tree), [tree]);
  const tries = useMemo(() => attempts(tree), [tree]);
  const facts = useMemo(() => story(tree, path, tries), [tree]);
  const errors = useMemo(() => errorsInOrder(tree), [tree]);
  const indexOf = useMemo(() => new Map(whole.spans.id.map((id, i) => [id, i])), [whole]);
  const [closed] = useState(() => new Set());
  const [unfolded] = useState(() => new Set());
  const [version, setVersion] = useState(0);
  const [zoom, setZoom] = useState(/** @type {[number, number]|null} */ (null));
  const [text, setText] = useState("");
  const [narrow, setNarrow] = useState(narrowScreen.matches);
  const list = useRef(/** @type {import("../vlist.js").ListApi|null} */ (null));
  const finder = useRef(/** @type {HTMLInputElement|null} */ (null));

  const asked = query.span ? indexOf.get(query.span) ?? -1 : -1;
  // Without a choice the whole trace is shown, by its longest root; on a phone that would cover the rows, and the other
  // views need the room.
  const selected = asked >= 0 ? asked : narrow || tab !== "timeline" || tree.n === 0 ? -1 : longestRoot(tree);
  const rows = useMemo(() => flatten(tree, closed, unfolded), [tree, version]);
  const found = useMemo(() => find(tree, text), [tree, text]);
  const hits = useMemo(() => (text.trim() ? new Set(found) : null), [found]);

  const select = (/** @type {number} */ i, middle = true) => {
    reveal(tree, i, closed, unfolded);
    setVersion((v) => v + 1);
    setQuery({ span: whole.spans.id[i] }, true);
    const now = flatten(tree, closed, unfolded);
    const k = now.findIndex((row) => row.type === "span" && row.i === i);
    if (k >= 0) requestAnimationFrame(() => list.current?.show(k, middle));
  };
  useEffect(() => {
    if (asked >= 0) select(asked);
  }, []);
  useEffect(() => {
    const change = () => setNarrow(narrowScreen.matches);
    narrowScreen.addEventListener("change", change);
    return () => narrowScreen.removeEventListener("change", change);
  }, []);

  const toggle = (/** @type {import("../tree.js").Row} */ row) => {
    const set = row.type === "fold" ? unfolded : closed;
    if (!set.delete(row.key)) set.add(row.key);
    setVersion((v) => v + 1);
  };
  /** The next of some spans after the chosen one, around the end. @param {number[]} among */
  const next = (among) => {
    if (!among.length) return false;
    const order = new Map([...tree.order].map((i, k) => [i, k]));
    const at = asked >= 0 ? order.get(asked) ?? -1 : -1;
    select(among.find((i) => /** @type {number} */ (order.get(i)) > at) ?? among[0]);
    return true;
  };
  const step = (/** @type {number} */ by) => {
    const spans = rows.map((row, k) => (row.type === "span" ? k : -1)).filter((k) => k >= 0);
    const at = spans.findIndex((k) => rows[k].i === selected);
    const k = spans[Math.max(0, Math.min(spans.length - 1, asked < 0 && by > 0 ? at + (at < 0 ? 1 : by) : at + by))];
    if (k !== undefined) select(rows[k].i, false);
  };
  const other = async (/** @type {number} */ by) => {
    if (!neighbours.length) {
      const answer = await get("/traces", { limit: 200 }).catch(() => null);
      if (answer) neighbours.push(...answer.traces.map((/** @type {any} */ t) => t.id));
    }
    const to = neighbours[neighbours.indexOf(trace.id) + by];
    if (to && neighbours.includes(trace.id)) go(href(["t", to], { tab: tab === "timeline" ? "" : tab }));
    else tell(by > 0 ? "This is the oldest of the list" : "This is the newest of the list");
  };
  useLayoutEffect(() => {
    const row = rows.find((r) => r.type === "span" && r.i === selected);
    return onKeys({
      j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
      ArrowRight: () => row && !isOpen(row, closed, unfolded) && toggle(row),
      ArrowLeft: () => (row && tree.childAt[row.i + 1] > tree.childAt[row.i] && isOpen(row, closed, unfolded) ? toggle(row) : row && tree.parent[row.i] >= 0 && select(tree.parent[row.i], false)),
      Enter: () => (selected >= 0 && asked < 0 ? select(selected) : /** @type {HTMLElement|null} */ (document.querySelector(".detail"))?.focus()),
      e: () => next(errors) || tell("No span failed"),
      c: () => (showPath.value = !showPath.value),
      "/": () => finder.current?.focus(), f: () => finder.current?.focus(),
      "[": () => other(-1), "]": () => other(1),
      "g a": () => setQuery({ tab: "agents" }),
      Escape: () => (zoom ? setZoom(null) : setQuery({ span: "" }, true)),
    });
  });

  const detail = selected >= 0 && html`<${Detail} traceId=${trace.id} tree=${tree} index=${selected} tries=${tries} scores=${whole.scores} onSelect=${select} onScores=${onReload} onClose=${() => setQuery({ span: "" }, true)} />`;
  return html`<div class="trace">
    <${Header} whole=${whole} onReload=${onReload} onOther=${other} />
    ${whole.warnings.length > 0 && html`<div class="warnings" role="note">${whole.warnings.map((w, k) => html`<span key=${k}>${w.text}</span>`)}</div>`}
    ${facts.length > 0 && html`<div class="story" aria-label="What happened">${facts.map((fact, k) => html`<button key=${k} class=${`fact fact-${fact.tone}`} title=${fact.title} disabled=${fact.span === null} onClick=${() => fact.span !== null && select(fact.span)}>${fact.text}</button>`)}</div>`}
    <div class="trace-split" style=${detailWidth.value ? { "--detail": `${detailWidth.value}px` } : {}}>
      <div class="trace-main">
        <div class="tabs"><div role="tablist" aria-label="Views of the trace">${TABS.map(([id, name]) => html`<button key=${id} role="tab" aria-selected=${id === tab} onClick=${() => setQuery({ tab: id === "timeline" ? "" : id })}>${name}</button>`)}</div>
          <span class="grow"></span>
          ${tab === "timeline" && html`<button class="btn-icon quiet path-button" aria-pressed=${showPath.value} title="Critical path: c" aria-label="Critical path" onClick=${() => (showPath.value = !showPath.value)}><svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" aria-hidden="true"><path d="M2 4h5v4h4v4h3" /></svg></button>
            ${errors.length > 0 && html`<button class="btn small next-error" title="Next error: e" onClick=${() => next(errors)}><span class="bad">✗</span> ${count(errors.length)}</button>`}
            <div class="finder"><input class="field" ref=${finder} placeholder="find in trace  /" aria-label="Find in trace" value=${text} spellcheck=${false} onInput=${(/** @type {any} */ e) => setText(e.target.value)}
              onKeyDown=${(/** @type {KeyboardEvent} */ e) => {
                if (e.key === "Enter") next(found);
                else if (e.key === "Escape") (setText(""), finder.current?.blur());
                else return;
                e.stopPropagation();
              }} />${hits && html`<span class="muted">${count(found.length)}</span>`}</div>`}
        </div>
        ${tab === "timeline" && html`<${Timeline} tree=${tree} rows=${rows} path=${path} tries=${tries} showPath=${showPath.value} selected=${selected} zoom=${zoom} onZoom=${setZoom} onSelect=${(/** @type {number} */ i) => setQuery({ span: whole.spans.id[i] }, true)}
          onToggle=${toggle} hits=${hits} closed=${closed} unfolded=${unfolded} version=${version} api=${list} />`}
        ${tab === "agents" && html`<${TraceGraph} id=${trace.id} n=${tree.n} indexOf=${indexOf} tree=${tree} onSelect=${select} onFind=${(/** @type {string} */ name) => {
          setText(name);
          setQuery({ tab: "" });
        }} />`}
        ${tab === "lanes" && html`<${Lanes} tree=${tree} selected=${selected} onSelect=${select} />`}
        ${tab === "conversation" && html`<${Replay} traceId=${trace.id} trace=${trace} tree=${tree} onSelect=${select} />`}
      </div>
      ${detail && !narrow && html`<${Splitter} />`}
      ${detail && html`<aside class=${`trace-side ${narrow ? "over" : ""}`}>${detail}</aside>`}
    </div>
  </div>`;
}

function Splitter() {
  const down = (/** @type {PointerEvent} */ e) => {
    const move = (/** @type {PointerEvent} */ m) => (detailWidth.value = Math.max(300, Math.min(innerWidth - 420, innerWidth - m.clientX)));
    const up = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
    e.preventDefault();
  };
  const key = (/** @type {KeyboardEvent} */ e) => {
    const by = { ArrowLeft: 40, ArrowRight: -40 }[e.key];
    if (!by) return;
    e.preventDefault();
    e.stopPropagation();
    detailWidth.value = Math.max(300, Math.min(innerWidth - 420, (detailWidth.value || innerWidth * 0.38) + by));
  };
  return html`<div class="splitter" role="separator" aria-orientation="vertical" aria-label="Width of the span's pane" tabindex="0" onPointerDown=${down} onKeyDown=${key} onDblClick=${() => (detailWidth.value = 0)}></div>`;
}

/** @param {{whole: WholeTrace, onReload: () => void, onOther: (by: number) => void}} props */
function Header({ whole, onReload, onOther }) {
  const { trace, scores } = whole;
  const tokens = totalTokens(trace.tokens);
  const own = scores.filter((s) => !s.span);
  const save = (/** @type {string} */ format, /** @type {string} */ end) => () =>
    download(`/traces/${trace.id}/export`, { format }, `${shortId(trace.id)}.${end}`).catch((problem) => tell(problem.message));
  return html`<header class="trace-header">
    <div class="trace-title"><h1 class="clip" title=${trace.name}>${trace.name}</h1><${StatusMark} status=${trace.status} badge /><${ErrorBadge} errors=${trace.errors} status=${trace.status} long /></div>
    <dl class="facts">
      <div><dt>duration</dt><dd>${duration(trace.duration)}${trace.status === "running" ? "…" : ""}</dd></div>
      <div title=${trace.unpriced ? `${plural(trace.unpriced, "call")} without a known price` : ""}><dt>cost</dt><dd>${trace.cost === null && !trace.unpriced ? "–" : money(trace.cost)}${trace.unpriced && trace.cost !== null ? "+" : ""}</dd></div>
      <div title=${`${count(trace.tokens.input)} in, ${count(trace.tokens.output)} out`}><dt>tokens</dt><dd>${short(tokens)}</dd></div>
      <div><dt>spans</dt><dd>${count(trace.spans)}</dd></div>
      ${trace.agents.length > 0 && html`<div title=${trace.agents.join(", ")}><dt>agents</dt><dd>${trace.agents.length}</dd></div>`}
      <div title=${when(trace.start)}><dt>started</dt><dd>${ago(trace.start)}${/^\d+ /.test(ago(trace.start)) ? " ago" : ""}</dd></div>
      ${trace.session && html`<div><dt>session</dt><dd class="clip"><a href=${href(["sessions", trace.session])}>${trace.session}</a></dd></div>`}
      ${trace.user && html`<div><dt>user</dt><dd class="clip">${trace.user}</dd></div>`}
      ${trace.tags.map((tag) => html`<span class="tag clip" key=${tag}>${tag}</span>`)}
    </dl>
    <div class="trace-actions">
      <${Thumbs} trace=${trace.id} scores=${scores} onChange=${onReload} />
      <${Menu} label=${`Score${own.length ? ` ${own.length}` : ""}`} keep>
        ${own.length > 0 && html`<${ScoreList} scores=${own} onChange=${onReload} />`}<${ScoreForm} trace=${trace.id} onChange=${onReload} /><//>
      <a class="btn" href=${href(["compare"], { a: trace.id })}>Compare</a>
      <${Menu} label=${html`Share <span aria-hidden="true">▾</span>`}>
        <button onClick=${() => copy(`${location.origin}/${href(["t", trace.id])}`)}>Copy a link</button>
        <button onClick=${() => copy(trace.id)}>Copy the trace id</button>
        <button onClick=${save("html", "html")}>One HTML file</button>
        <button onClick=${save("otlp-json", "otlp.json")}>OTLP JSON</button>
        <button onClick=${save("jsonl", "jsonl")}>JSON lines</button><//>
      <button class="btn-icon neighbour" title="Newer trace: [" aria-label="Newer trace" onClick=${() => onOther(-1)}>‹</button><button class="btn-icon neighbour" title="Older trace: ]" aria-label="Older trace" onClick=${() => onOther(1)}>›</button>
    </div>
  </header>`;
}

/** @param {{id: string, n: number, tree: any, indexOf: Map<string, number>, onSelect: (i: number) => void, onFind: (name: string) => void}} props */
function TraceGraph({ id, n, indexOf, onSelect, onFind }) {
  const [graph, setGraph] = useState(/** @type {import("../types.js").Graph|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const control = new AbortController();
    get(`/traces/${id}/graph`, {}, control.signal).then(setGraph, (problem) => !control.signal.aborted && setError(problem));
    return () => control.abort();
  }, [id, n]);
  if (error) return html`<${Problem} error=${error} />`;
  if (!graph) return html`<div class="loading">Loading the graph …</div>`;
  return html`<${GraphView} graph=${graph} onNode=${(/** @type {any} */ node) => onFind(node.name)} onEdge=${(/** @type {any} */ edge) => {
    const first = edge.spans.map((/** @type {string} */ s) => indexOf.get(s)).find((/** @type {any} */ i) => i !== undefined);
    if (first !== undefined) onSelect(first);
  }} nodeHint="show in the timeline" />`;
}
