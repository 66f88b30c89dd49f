// @ts-check
// Small pieces that every page uses: status, kind, badges, a trend, what to show when there is nothing or an error.

import { html, useEffect, useRef } from "../vendor/preact-htm-signals.js";
import { count, plural } from "../fmt.js";
import { copy } from "../state.js";

/** @type {Record<string, [string, string]>} what a status is called, and its sign: shape tells it apart, not colour */
const STATUS = {
  ok: ["OK", "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1Z"],
  error: ["FAILED", "M2 2l8 8M10 2l-8 8"],
  running: ["running", "M6 1.5a4.5 4.5 0 1 1-4.5 4.5"],
  cancelled: ["cancelled", "M2 6h8"],
  interrupted: ["interrupted", "M3.5 2v8M8.5 2v8"],
  abandoned: ["abandoned", "M6 1.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9Z"],
  lost: ["lost", "M6 1.5v6M6 10v.5"],
};

/** @param {{status: string, badge?: boolean}} props */
export function StatusMark({ status, badge = false }) {
  const [word, path] = STATUS[status] ?? [status, "M2 6h8"];
  return html`<span class=${`st st-${status} ${badge ? "badge" : ""}`}>
    <svg viewBox="0 0 12 12" aria-hidden="true"><path d=${path} fill=${status === "ok" ? "currentColor" : "none"}
      stroke=${status === "ok" ? "none" : "currentColor"} stroke-width="2" stroke-linecap="round" /></svg>
    <span class="st-word">${word}</span>
  </span>`;
}

/** Errors of a trace: recovered from when the trace itself did not fail. @param {{errors: number, status: string, long?: boolean}} props */
export function ErrorBadge({ errors, status, long = false }) {
  if (!errors) return null;
  if (status === "error") return html`<span class="badge failed">${long ? plural(errors, "error") : count(errors)}</span>`;
  const text = long ? `${plural(errors, "error")} ${status === "running" ? "so far" : "recovered"}` : `${count(errors)} ${status === "running" ? "so far" : "recovered"}`;
  return html`<span class="badge recovered" title="Spans that failed, in a trace that did not">${text}</span>`;
}

/** @type {Record<string, string>} */
const LETTER = {
  span: "S", workflow: "W", agent: "A", generation: "G", retrieval: "R", embedding: "E", rerank: "K", tool: "T",
  evaluator: "✓", guardrail: "!",
};

/** @param {{kind: string}} props */
export function Kind({ kind }) {
  return html`<span class=${`kind k-${kind}`} title=${kind} aria-label=${kind} role="img">${LETTER[kind] ?? "?"}</span>`;
}

/** @param {{text: string, label?: string}} props */
export function CopyButton({ text, label = "Copy" }) {
  return html`<button class="btn-icon quiet copy" title=${label} aria-label=${label} onClick=${(/** @type {Event} */ e) => {
    e.stopPropagation();
    copy(text);
  }}><svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" aria-hidden="true">
    <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" /><path d="M10.5 5.5V4A1.5 1.5 0 0 0 9 2.5H4A1.5 1.5 0 0 0 2.5 4v5A1.5 1.5 0 0 0 4 10.5h1.5" /></svg></button>`;
}

/** @param {{error: any, retry?: () => void}} props */
export function Problem({ error, retry }) {
  return html`<div class="problem" role="alert">
    <strong>${error?.message ?? String(error)}</strong>
    ${error?.hint && html`<div class="hint">${error.hint}</div>`}
    ${retry && html`<button class="btn small" onClick=${retry}>Try again</button>`}
  </div>`;
}

/** @param {{title: string, children?: any}} props */
export function Empty({ title, children }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`;
}

/** What to do with a store that holds nothing. @param {{path: string|undefined}} props */
export function FirstUse({ path }) {
  return html`<div class="empty first-use">
    <h2>No traces yet</h2>
    <p>Record one with three lines:</p>
    <pre>${"import ironspan\nironspan.init()\nironspan.instrument()"}</pre>
    <p>Then run your agents. Or look at an example first, without a key and without a network:</p>
    <pre>ironspan demo</pre>
    <p>This page watches ${path ? html`<code>${path}</code>` : "the store"} and shows the first trace as it begins.</p>
  </div>`;
}

/** A small line of bars. @param {{values: number[], label: string}} props */
export function Trend({ values, label }) {
  const most = Math.max(1, ...values);
  const width = 100 / Math.max(1, values.length);
  // One path for all bars: a table has hundreds of them.
  const bars = (/** @type {(v: number) => number} */ height) =>
    values.map((v, k) => (height(v) ? `M${(k * width + width * 0.1).toFixed(2)} 20v-${height(v).toFixed(2)}h${(width * 0.8).toFixed(2)}V20Z` : "")).join("");
  return html`<svg class="trend" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label=${label}>
    <path class="none" d=${bars((v) => (v ? 0 : 0.6))} /><path d=${bars((v) => (v ? Math.max(1.5, (v / most) * 20) : 0))} />
  </svg>`;
}

/** A choice between a few words. @param {{value: string, options: [string, string][], label: string, onPick: (v: string) => void}} props */
export function Segments({ value, options, label, onPick }) {
  return html`<div class="segments" role="group" aria-label=${label}>
    ${options.map(([id, text]) => html`<button key=${id} aria-pressed=${id === value} onClick=${() => onPick(id)}>${text}</button>`)}
  </div>`;
}

/** A button with a list under it; closes when something else is clicked, or something in the list unless it is to `keep`.
 * @param {{label: any, children: any, left?: boolean, title?: string, keep?: boolean}} props */
export function Menu({ label, children, left = false, title, keep = false }) {
  const box = useRef(/** @type {HTMLDetailsElement|null} */ (null));
  useEffect(() => {
    /** @param {Event} e */
    const close = (e) => {
      const el = box.current;
      if (!el?.open) return;
      const inside = el.contains(/** @type {Node} */ (e.target));
      if (e instanceof KeyboardEvent ? e.key === "Escape" : (e.target instanceof Element && e.target.isConnected && !inside) || (!keep && /** @type {Element} */ (e.target).closest(".menu-list button, .menu-list a"))) el.open = false;
    };
    document.addEventListener("click", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("click", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  return html`<details class="menu" ref=${box}><summary title=${title}>${label}</summary>
    <div class=${`menu-list ${left ? "left" : ""} ${keep ? "pad" : ""}`}>${children}</div></details>`;
}

/** @type {[string, string][]} */
export const WINDOWS = [["1h", "1 h"], ["6h", "6 h"], ["24h", "24 h"], ["7d", "7 d"], ["30d", "30 d"]];

/** Seconds of a window such as 24h. @param {string} text */
export function windowSeconds(text) {
  const m = /^(\d+)([smhd])$/.exec(text);
  return m ? Number(m[1]) * { s: 1, m: 60, h: 3600, d: 86400 }[/** @type {"s"|"m"|"h"|"d"} */ (m[2])] : 86400;
}
