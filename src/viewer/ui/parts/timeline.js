// @ts-check
// The timeline: one row per span with its place in the tree and its bar in time, rows of one height of which only those
// in sight exist. The critical path is underlined, repeated siblings share a row, a missing parent has one of its own.

import { html, useCallback, useMemo, useRef } from "../vendor/preact-htm-signals.js";
import { count, duration, money, short, tickLabel, ticks } from "../fmt.js";
import { remembered } from "../state.js";
import { KINDS, LOOP, STATUSES, failed, nameOf, textOf } from "../tree.js";
import { VList } from "../vlist.js";
import { Kind } from "./bits.js";
import { Minimap } from "./minimap.js";

/** @typedef {import("../tree.js").Tree} Tree */
/** @typedef {import("../tree.js").Row} Row */
/** @typedef {import("./minimap.js").Range} Range */

export const ROW = 26;
const HEAD = 26;
/** Deeper rows are not indented further, or their names would have no room. */
const INDENTS = 22;
/** So many of a fold's members are drawn one by one. */
const DRAWN = 120;
const nameWidth = remembered("name-width", 0);

/**
 * @param {{tree: Tree, rows: Row[], path: {pieces: [number, number, number][]}, showPath: boolean,
 *   tries: {of: Map<number, {number: number, group: {members: number[]}}>}, selected: number, zoom: Range|null,
 *   onZoom: (zoom: Range|null) => void, onSelect: (i: number) => void, onToggle: (row: Row) => void, hits: Set<number>|null,
 *   closed: Set<string>, unfolded: Set<string>, version: number, api: {current: import("../vlist.js").ListApi|null}}} props
 */
export function Timeline(props) {
  const { tree, rows, path, showPath, zoom, onZoom } = props;
  const from = zoom ? zoom[0] : tree.from;
  const to = zoom ? zoom[1] : tree.to;
  const frame = useRef(/** @type {HTMLElement|null} */ (null));
  const pieces = useMemo(() => {
    /** @type {Map<number, Range[]>} */
    const by = new Map();
    for (const [i, a, b] of path.pieces) {
      const list = by.get(i);
      if (list) list.push([a, b]);
      else by.set(i, [[a, b]]);
    }
    return by;
  }, [path]);
  const marks = ticks(from - tree.from, to - tree.from, 7);
  const step = marks.length > 1 ? marks[1] - marks[0] : to - from;
  const share = (/** @type {number} */ t) => ((t - from) / (to - from)) * 100;

  const wheel = useCallback((/** @type {WheelEvent} */ e) => {
    if (!e.ctrlKey && !e.metaKey) return;
    const bars = frame.current?.querySelector(".tl-axis")?.getBoundingClientRect();
    if (!bars) return;
    e.preventDefault();
    const here = from + Math.max(0, Math.min(1, (e.clientX - bars.left) / bars.width)) * (to - from);
    const factor = Math.exp(Math.max(-60, Math.min(60, e.deltaY)) / 120);
    const a = Math.max(tree.from, here - (here - from) * factor);
    const b = Math.min(tree.to, here + (to - here) * factor);
    if (b - a >= tree.to - tree.from) onZoom(null);
    else if (b - a > 100) onZoom([a, b]);
  }, [from, to, tree]);

  /** @param {PointerEvent} e */
  const resize = (e) => {
    const el = /** @type {HTMLElement} */ (frame.current);
    const left = el.getBoundingClientRect().left;
    const move = (/** @type {PointerEvent} */ m) => (nameWidth.value = Math.max(140, Math.min(el.clientWidth - 260, m.clientX - left)));
    const up = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
    e.preventDefault();
  };

  return html`<div class="timeline" ref=${frame} style=${nameWidth.value ? { "--tl-name": `${nameWidth.value}px` } : {}}>
    <${Minimap} tree=${tree} zoom=${zoom} onZoom=${onZoom} />
    <${VList} class="tl" role="tree" label="Spans" count=${rows.length} height=${ROW} headerHeight=${HEAD} api=${props.api} onWheel=${wheel}
      header=${html`<div class="tl-head tl-grid">
        <div class="tl-title">span<i class="tl-resize" onPointerDown=${resize} title="Drag: width of the names"></i></div>
        <div class="tl-axis">${marks.map((mark) => html`<span key=${mark} style=${{ left: `${share(mark + tree.from)}%` }}>${tickLabel(mark, step)}</span>`)}
          ${zoom && html`<button class="btn small tl-all" onClick=${() => onZoom(null)}>Show all</button>`}</div>
        <div class="num">duration</div><div class="num tl-cost">cost</div></div>`}
      overlay=${html`<div class="tl-lines tl-grid" aria-hidden="true"><div></div><div class="tl-marks">${marks.map((mark) => html`<i key=${mark} style=${{ left: `${share(mark + tree.from)}%` }}></i>`)}</div></div>`}
      render=${(/** @type {number} */ k) => html`<${Line} key=${rows[k].key} row=${rows[k]} tree=${tree} from=${from} to=${to} pieces=${showPath ? pieces : null} tries=${props.tries}
        selected=${rows[k].type === "span" && rows[k].i === props.selected} hit=${props.hits?.has(rows[k].i) ?? false} dim=${props.hits !== null && rows[k].type === "span" && !props.hits.has(rows[k].i)}
        open=${isOpen(rows[k], props.closed, props.unfolded)} onSelect=${props.onSelect} onToggle=${props.onToggle} />`} />
  </div>`;
}

/** @param {Row} row @param {Set<string>} closed @param {Set<string>} unfolded */
export function isOpen(row, closed, unfolded) {
  return row.type === "fold" ? unfolded.has(row.key) : !closed.has(row.key);
}

/** @param {any} props */
function Line({ row, tree, from, to, pieces, tries, selected, hit, dim, open, onSelect, onToggle }) {
  // A name keeps half of its column however deep it is.
  const indent = { paddingLeft: `min(${6 + Math.min(row.depth, INDENTS) * 14}px, 50%)` };
  if (row.type === "missing") {
    return html`<div class="tl-row tl-grid tl-missing" role="treeitem" aria-level="1" aria-expanded=${open} onClick=${() => onToggle(row)}>
      <div class="tl-name" style=${indent}><${Twist} open=${open} /><span class="clip">missing parent</span><span class="tl-facts">${strays(tree, row.members)}</span></div>
      <div class="tl-bars"></div><div></div><div></div></div>`;
  }
  return row.type === "fold" ? foldLine(row, tree, from, to, indent, open, onToggle) : spanLine({ row, tree, from, to, pieces, tries, selected, hit, dim, open, onSelect, onToggle, indent });
}

/** @param {Tree} tree @param {number[]} members */
function strays(tree, members) {
  const rings = members.filter((i) => tree.parent[i] === LOOP).length;
  const gone = members.length - rings;
  return [gone ? `of ${count(gone)}: not in the store` : "", rings ? `of ${count(rings)}: their parents form a ring` : ""].filter(Boolean).join(", ");
}

/** @param {any} o */
function spanLine({ row, tree, from, to, pieces, tries, selected, hit, dim, open, onSelect, onToggle, indent }) {
  const { spans } = tree;
  const i = row.i;
  const kind = KINDS[spans.kind[i]] ?? "span";
  const status = STATUSES[spans.status[i]] ?? "ok";
  const own = spans.own_error[i] === 1;
  const parent = tree.childAt[i + 1] > tree.childAt[i];
  const name = nameOf(tree, i);
  const model = textOf(spans, spans.model[i]);
  const attempt = tries.of.get(i);
  const tokens = spans.input_tokens[i] !== null || spans.output_tokens[i] !== null;
  const cost = spans.cost[i];
  const error = textOf(spans, spans.error[i]);
  const time = spans.duration[i];
  const note = `${name} · ${kind}${model ? ` · ${model}` : ""}\nbegins at ${duration(tree.start[i] - tree.from)}, takes ${duration(time)}${error ? `\n${error}` : ""}`;
  return html`<div class=${`tl-row tl-grid ${selected ? "selected" : ""} ${own ? "own-error" : failed(tree, i) ? "failed" : ""} ${hit ? "hit" : ""} ${dim ? "dim" : ""}`}
    role="treeitem" aria-level=${row.depth + 1} aria-expanded=${parent ? open : undefined} aria-selected=${selected} data-span=${spans.id[i]} title=${note} onClick=${() => onSelect(i)}>
    <div class="tl-name" style=${indent}>
      ${parent ? html`<${Twist} open=${open} onClick=${(/** @type {Event} */ e) => {
        e.stopPropagation();
        onToggle(row);
      }} />` : html`<i class="tl-leaf"></i>`}
      <${Kind} kind=${kind} /><span class="clip tl-label">${name}</span>
      <span class="tl-facts">${model && model !== name ? `${model} ` : ""}${tokens ? `${short(spans.input_tokens[i])}→${short(spans.output_tokens[i])} ` : ""}${attempt ? html`<b class=${own ? "bad" : ""}>try ${attempt.number}</b> ` : ""}${!open && parent ? `+${count(tree.below[i])} ` : ""}${status !== "ok" && status !== "error" ? html`<b>${status}</b>` : ""}</span>
      ${!open && parent && tree.troubled[i] ? html`<i class="tl-trouble" title="A span below failed"></i>` : ""}
    </div>
    <div class="tl-bars">${bar(tree, i, from, to, `k-${kind} ${own ? "bar-bad" : ""} ${status === "running" ? "bar-run" : status === "lost" || status === "interrupted" ? "bar-cut" : ""}`)}
      ${spans.first_chunk[i] !== null && time ? point(tree.start[i] + spans.first_chunk[i], from, to, "bar-first", `first token after ${duration(spans.first_chunk[i])}`) : ""}
      ${pieces?.get(i)?.slice(0, DRAWN).map((/** @type {Range} */ piece, /** @type {number} */ k) => stretch(piece[0], piece[1], from, to, "bar-path", k))}</div>
    <div class="num tl-time">${status === "running" ? `${duration(time)}…` : duration(time)}</div>
    <div class="num tl-cost muted">${cost === null || cost === undefined ? "" : money(cost)}</div>
  </div>`;
}

/** @param {Row} row @param {Tree} tree @param {number} from @param {number} to @param {any} indent @param {boolean} open @param {(row: Row) => void} onToggle */
function foldLine(row, tree, from, to, indent, open, onToggle) {
  const members = /** @type {number[]} */ (row.members);
  const { spans } = tree;
  const kind = KINDS[spans.kind[row.i]] ?? "span";
  let bad = 0;
  let below = 0;
  let sum = 0;
  let cost = 0;
  let priced = false;
  let last = -Infinity;
  for (const i of members) {
    if (failed(tree, i)) bad++;
    if (tree.troubled[i]) below++;
    sum += tree.end[i] - tree.start[i];
    last = Math.max(last, tree.end[i]);
    if (spans.cost[i] !== null) [cost, priced] = [cost + /** @type {number} */ (spans.cost[i]), true];
  }
  const drawn = members.length <= DRAWN;
  return html`<div class=${`tl-row tl-grid tl-fold ${bad ? "has-bad" : ""}`} role="treeitem" aria-level=${row.depth + 1} aria-expanded=${open} onClick=${() => onToggle(row)}
    title=${`${count(members.length)} spans one after the other with one name. ${open ? "Fold" : "Unfold"} them.`}>
    <div class="tl-name" style=${indent}><${Twist} open=${open} /><${Kind} kind=${kind} /><span class="clip tl-label">${nameOf(tree, row.i)}</span><span class="tl-times">×${count(members.length)}</span>
      <span class="tl-facts">${bad ? html`<b class="bad">${count(bad)} failed</b> ` : ""}${below ? html`<b class="warn">${count(below)} with errors</b>` : ""}</span></div>
    <div class="tl-bars">${drawn
      ? members.map((i) => bar(tree, i, from, to, `k-${kind} ${spans.own_error[i] ? "bar-bad" : ""}`, i))
      : [stretch(tree.start[members[0]], last, from, to, `bar bar-many k-${kind}`, -1), ...members.filter((i) => spans.own_error[i]).slice(0, DRAWN).map((i) => point(tree.start[i], from, to, "bar-dot", "", i))]}</div>
    <div class="num tl-time" title="Sum of their durations">${duration(sum)}</div>
    <div class="num tl-cost muted">${priced ? money(cost) : ""}</div>
  </div>`;
}

/** @param {Tree} tree @param {number} i @param {number} from @param {number} to @param {string} cls @param {number} [key] */
function bar(tree, i, from, to, cls, key = 0) {
  return stretch(tree.start[i], tree.end[i], from, to, `bar ${cls}`, key);
}

/** A piece of time as a piece of the row; nothing where it is out of sight.
 * @param {number} a @param {number} b @param {number} from @param {number} to @param {string} cls @param {number} key */
function stretch(a, b, from, to, cls, key) {
  if (b < from || a > to) return null;
  const left = ((Math.max(a, from) - from) / (to - from)) * 100;
  const width = ((Math.min(b, to) - Math.max(a, from)) / (to - from)) * 100;
  return html`<i key=${`${cls[4]}${key}`} class=${cls} style=${{ left: `${Math.min(left, 99.8)}%`, width: `${width}%` }}></i>`;
}

/** @param {number} at @param {number} from @param {number} to @param {string} cls @param {string} title @param {number} [key] */
function point(at, from, to, cls, title, key) {
  if (at < from || at > to) return null;
  return html`<i key=${key} class=${cls} title=${title} style=${{ left: `${((at - from) / (to - from)) * 100}%` }}></i>`;
}

/** @param {{open: boolean, onClick?: (e: Event) => void}} props */
function Twist({ open, onClick }) {
  return html`<svg class=${`twist ${open ? "open" : ""}`} viewBox="0 0 10 10" onClick=${onClick} aria-hidden="true"><path d="M3 1.5 7 5 3 8.5" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" /></svg>`;
}
