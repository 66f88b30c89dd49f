// @ts-check
// Who did what when: a lane per agent on one canvas, arrows where one agent called another, and the hand-offs as a list
// below, so that one can follow what was passed on. The canvas is for the eye; everything in it can be reached from the
// list and the timeline too.

import { html, useEffect, useMemo, useState } from "../vendor/preact-htm-signals.js";
import { count, duration, tickLabel, ticks } from "../fmt.js";
import { colour, paint } from "../state.js";
import { KINDS, nameOf, textOf } from "../tree.js";
import { kindColours, penOf, useCanvas } from "./canvas.js";

const LANE = 46;
const AXIS = 24;
/** More lanes than this are too low to read; those with the most time stay. */
const LANES = 40;
const HANDOFFS = 200;
const AGENT = KINDS.indexOf("agent");

/** @typedef {{name: string, spans: number[], time: number, levels: number, level: Map<number, number>}} Lane */

/** Lanes in the order of their first span. Spans without an agent share one. @param {import("../tree.js").Tree} tree */
export function lanesOf(tree) {
  /** @type {Map<number, number[]>} */
  const by = new Map();
  for (let i = 0; i < tree.n; i++) {
    const list = by.get(tree.spans.agent[i]);
    if (list) list.push(i);
    else by.set(tree.spans.agent[i], [i]);
  }
  /** @type {Lane[]} */
  const lanes = [];
  for (const [agent, spans] of by) {
    // Work, not what only encloses it; a lane of nothing else shows what there is.
    const work = spans.filter((i) => KINDS[tree.spans.kind[i]] !== "agent" && KINDS[tree.spans.kind[i]] !== "workflow");
    if (!work.length && by.size > 1 && agent < 0) continue;
    const shown = work.length ? work : spans;
    const level = new Map();
    /** @type {number[]} */
    const ends = [];
    for (const i of shown) {
      let k = ends.findIndex((end) => end <= tree.start[i]);
      if (k < 0) k = ends.length < 4 ? ends.length : 3;
      ends[k] = tree.end[i];
      level.set(i, k);
    }
    lanes.push({ name: textOf(tree.spans, agent) ?? "no agent", spans: shown, time: shown.reduce((s, i) => s + tree.end[i] - tree.start[i], 0), levels: Math.max(1, ends.length), level });
  }
  return lanes;
}

/** Spans of agents that another agent's span encloses. @param {import("../tree.js").Tree} tree
 * @returns {{span: number, from: string, to: string}[]} */
export function handoffsOf(tree) {
  const found = [];
  for (let i = 0; i < tree.n && found.length < HANDOFFS; i++) {
    if (tree.spans.kind[i] !== AGENT || tree.parent[i] < 0) continue;
    const from = textOf(tree.spans, tree.spans.agent[tree.parent[i]]);
    const to = textOf(tree.spans, tree.spans.agent[i]) ?? nameOf(tree, i);
    if (from !== null && from !== to) found.push({ span: i, from, to });
  }
  return found;
}

/** @param {{tree: import("../tree.js").Tree, selected: number, onSelect: (i: number) => void}} props */
export function Lanes({ tree, selected, onSelect }) {
  const [canvas, width] = useCanvas();
  const [over, setOver] = useState(-1);
  const colours = paint.value;
  const all = useMemo(() => lanesOf(tree), [tree]);
  const lanes = useMemo(() => {
    if (all.length <= LANES) return all;
    const kept = new Set([...all].sort((a, b) => b.time - a.time).slice(0, LANES));
    return all.filter((lane) => kept.has(lane));
  }, [all]);
  const handoffs = useMemo(() => handoffsOf(tree), [tree]);
  const height = AXIS + lanes.length * LANE;
  const marks = ticks(0, tree.to - tree.from, Math.max(3, width / 110));
  const step = marks.length > 1 ? marks[1] - marks[0] : tree.to - tree.from;

  const scale = width / (tree.to - tree.from);
  const boxOf = (/** @type {Lane} */ lane, /** @type {number} */ row, /** @type {number} */ i) => {
    const high = (LANE - 14) / lane.levels;
    return { x: (tree.start[i] - tree.from) * scale, y: AXIS + row * LANE + 7 + (lane.level.get(i) ?? 0) * high, w: Math.max(1.5, (tree.end[i] - tree.start[i]) * scale), h: Math.max(3, high - 2) };
  };
  useEffect(() => {
    const el = canvas.current;
    if (!el || !width) return;
    const pen = penOf(el, width, height);
    pen.font = "11px system-ui, sans-serif";
    const line = colour("--line");
    const text = colour("--muted");
    const bad = colour("--bad");
    const onKind = colour("--on-kind");
    const fill = kindColours();
    for (const mark of marks) {
      pen.fillStyle = line;
      pen.fillRect(Math.round(mark * scale), AXIS - 4, 1, height);
      pen.fillStyle = text;
      pen.fillText(tickLabel(mark, step), Math.min(mark * scale + 3, width - 40), 14);
    }
    lanes.forEach((lane, row) => {
      pen.fillStyle = line;
      pen.fillRect(0, AXIS + (row + 1) * LANE - 1, width, 1);
      for (const i of lane.spans) {
        const { x, y, w, h } = boxOf(lane, row, i);
        pen.fillStyle = fill[tree.spans.kind[i]] ?? fill[0];
        pen.fillRect(x, y, w, h);
        if (tree.spans.own_error[i]) {
          pen.strokeStyle = bad;
          pen.lineWidth = 2;
          pen.strokeRect(x + 1, y + 1, Math.max(1, w - 2), h - 2);
        }
        if (w > 60 && h > 12) {
          pen.save();
          pen.beginPath();
          pen.rect(x, y, w - 4, h);
          pen.clip();
          pen.fillStyle = onKind;
          pen.fillText(nameOf(tree, i), x + 5, y + h / 2 + 4);
          pen.restore();
        }
      }
    });
    const rowOf = new Map(lanes.map((lane, row) => [lane.name, row]));
    pen.strokeStyle = pen.fillStyle = colour("--muted");
    pen.lineWidth = 1.25;
    for (const { span, from, to } of handoffs) {
      const a = rowOf.get(from);
      const b = rowOf.get(to);
      if (a === undefined || b === undefined || a === b) continue;
      const x = (tree.start[span] - tree.from) * scale;
      const y1 = AXIS + a * LANE + LANE / 2;
      const y2 = AXIS + b * LANE + (b > a ? 5 : LANE - 5);
      const way = b > a ? 1 : -1;
      pen.beginPath();
      pen.moveTo(x, y1);
      pen.lineTo(x, y2);
      pen.stroke();
      pen.beginPath();
      pen.moveTo(x, y2 + 3 * way);
      pen.lineTo(x - 4, y2 - 4 * way);
      pen.lineTo(x + 4, y2 - 4 * way);
      pen.fill();
    }
  }, [tree, lanes, width, colours]);

  /** @param {MouseEvent} e */
  const hit = (e) => {
    const r = /** @type {HTMLElement} */ (e.currentTarget).getBoundingClientRect();
    const x = e.clientX - r.left;
    const y = e.clientY - r.top;
    const row = Math.floor((y - AXIS) / LANE);
    const lane = lanes[row];
    if (!lane) return -1;
    for (const i of lane.spans) {
      const b = boxOf(lane, row, i);
      if (x >= b.x - 2 && x <= b.x + b.w + 2 && y >= b.y - 1 && y <= b.y + b.h + 1) return i;
    }
    return -1;
  };
  // Beside the canvas and not on it: a large trace would be painted anew with every move of the pointer.
  const mark = (/** @type {number} */ i, /** @type {string} */ cls) => {
    const row = i < 0 || !width ? -1 : lanes.findIndex((lane) => lane.level.has(i));
    if (row < 0) return null;
    const { x, y, w, h } = boxOf(lanes[row], row, i);
    return html`<i class=${`lane-mark ${cls}`} style=${{ left: `${x - 2}px`, top: `${y - 2}px`, width: `${w + 4}px`, height: `${h + 4}px` }}></i>`;
  };
  return html`<div class="lanes">
    <div class="lanes-grid">
      <div class="lane-names" style=${{ paddingTop: `${AXIS}px` }}>${lanes.map((lane) => html`<div key=${lane.name} style=${{ height: `${LANE}px` }} title=${lane.name}><b class="clip">${lane.name}</b><span class="muted">${count(lane.spans.length)} · ${duration(lane.time)}</span></div>`)}</div>
      <div class="lane-canvas"><canvas ref=${canvas} style=${{ height: `${height}px` }} role="img" aria-label="A lane per agent with its calls over time"
        onMouseMove=${(/** @type {MouseEvent} */ e) => setOver(hit(e))} onMouseLeave=${() => setOver(-1)} onClick=${(/** @type {MouseEvent} */ e) => {
          const i = hit(e);
          if (i >= 0) onSelect(i);
        }} title=${over >= 0 ? `${nameOf(tree, over)} · ${duration(tree.end[over] - tree.start[over])}` : ""}></canvas>${mark(over, "over")}${mark(selected, "selected")}</div>
    </div>
    ${all.length > lanes.length && html`<p class="muted">Shown are the ${lanes.length} lanes with the most time of ${all.length}.</p>`}
    ${handoffs.length > 0 && html`<section class="handoffs"><h3>Hand-offs</h3>${handoffs.map(({ span, from, to }) => html`<button key=${span} class=${span === selected ? "here" : ""} onClick=${() => onSelect(span)}>
      <span class="muted num">${duration(tree.start[span] - tree.from)}</span><span class="clip"><b>${from}</b> <span class="muted">→</span> <b>${to}</b></span><span class="muted num">${duration(tree.end[span] - tree.start[span])}</span>
      <span class=${`clip ${tree.spans.own_error[span] ? "bad" : "muted"}`}>${textOf(tree.spans, tree.spans.error[span]) ?? ""}</span></button>`)}</section>`}
  </div>`;
}
