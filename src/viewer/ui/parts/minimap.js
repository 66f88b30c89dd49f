// @ts-check
// All spans of a trace on one small canvas: where they lie in time, errors on top. Dragging chooses the part of the time
// that the rows show; a double click shows all of it again.

import { html, useEffect, useState } from "../vendor/preact-htm-signals.js";
import { colour, paint } from "../state.js";
import { KINDS } from "../tree.js";
import { kindColours, penOf, useCanvas } from "./canvas.js";

const HEIGHT = 46;
/** Shorter drags are clicks. */
const DRAG_PX = 4;

/**
 * @typedef {[number, number]} Range nanoseconds from the trace's start
 * @param {{tree: import("../tree.js").Tree, zoom: Range|null, onZoom: (zoom: Range|null) => void}} props
 */
export function Minimap({ tree, zoom, onZoom }) {
  const [canvas, width] = useCanvas();
  const [drag, setDrag] = useState(/** @type {Range|null} */ (null));
  const colours = paint.value;

  useEffect(() => {
    const el = canvas.current;
    if (!el || !width) return;
    const pen = penOf(el, width, HEIGHT);
    const scale = width / (tree.to - tree.from);
    const lines = HEIGHT - 6;
    const thick = Math.max(1, Math.min(3, lines / Math.max(1, tree.n)));
    const fill = kindColours();
    const line = new Int32Array(tree.n);
    tree.order.forEach((i, k) => (line[i] = k));
    // By kind, so that the colour is set ten times and not once per span.
    for (let kind = 0; kind < KINDS.length; kind++) {
      pen.fillStyle = fill[kind];
      for (let i = 0; i < tree.n; i++) {
        if (tree.spans.kind[i] !== kind) continue;
        const x = (tree.start[i] - tree.from) * scale;
        pen.fillRect(x, 3 + (line[i] / tree.n) * lines, Math.max(1, (tree.end[i] - tree.start[i]) * scale), thick);
      }
    }
    pen.fillStyle = colour("--bad");
    for (let i = 0; i < tree.n; i++) {
      if (!tree.spans.own_error[i]) continue;
      const x = (tree.start[i] - tree.from) * scale;
      pen.fillRect(x, 2.5 + (line[i] / tree.n) * lines, Math.max(2, (tree.end[i] - tree.start[i]) * scale), Math.max(2, thick));
    }
  }, [tree, width, colours]);

  /** @param {PointerEvent} e */
  const at = (e) => {
    const r = /** @type {HTMLElement} */ (e.currentTarget).getBoundingClientRect();
    return tree.from + Math.max(0, Math.min(1, (e.clientX - r.left) / r.width)) * (tree.to - tree.from);
  };
  const share = (/** @type {number} */ t) => `${((t - tree.from) / (tree.to - tree.from)) * 100}%`;
  const shown = drag ? /** @type {Range} */ ([Math.min(...drag), Math.max(...drag)]) : zoom;
  return html`<div class="minimap" title="Drag to zoom, double click for all"
    onPointerDown=${(/** @type {PointerEvent} */ e) => {
      /** @type {Element} */ (e.currentTarget).setPointerCapture(e.pointerId);
      setDrag([at(e), at(e)]);
    }}
    onPointerMove=${(/** @type {PointerEvent} */ e) => drag && setDrag([drag[0], at(e)])}
    onPointerUp=${() => {
      if (drag && width && (Math.abs(drag[1] - drag[0]) / (tree.to - tree.from)) * width > DRAG_PX) onZoom([Math.min(...drag), Math.max(...drag)]);
      setDrag(null);
    }}
    onPointerCancel=${() => setDrag(null)} onDblClick=${() => onZoom(null)}>
    <canvas ref=${canvas} aria-label="Overview of all spans" role="img"></canvas>
    ${shown && html`<i class="shade" style=${{ left: 0, width: share(shown[0]) }}></i><i class="shade" style=${{ left: share(shown[1]), right: 0 }}></i>
      <i class="window" style=${{ left: share(shown[0]), width: `calc(${share(shown[1])} - ${share(shown[0])})` }}></i>`}
  </div>`;
}
