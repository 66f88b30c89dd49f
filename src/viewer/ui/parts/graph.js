// @ts-check
// Agents and their tools as cards with arrows: who called whom, how often, how long, with what errors. Models are part
// of the agent's card, and many tools of one agent are one card until it is opened, so that it stays readable.

import { html, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-htm-signals.js";
import { count, duration, money, short } from "../fmt.js";
import { edgeKey, foldTools, layout } from "../layout.js";
import { Kind } from "./bits.js";

/** @typedef {import("../types.js").Graph} Graph */
/** @typedef {import("../types.js").GraphNode} GraphNode */
/** @typedef {import("../types.js").GraphEdge} GraphEdge */

const WIDTH = 208;
const MODELS = 3;
/** More labels than this cover each other: then only those of the card under the pointer are shown. */
const LABELS = 18;
/** From this share of failures on an arrow or a card is red: in a window of days nearly everything failed once. */
const RED_FROM = 0.1;
/** Smaller than this, text cannot be read: then the picture scrolls. */
const SMALLEST = 0.62;

/** @param {GraphNode} node */
function heightOf(node) {
  if (node.kind === "user") return 34;
  return 54 + (node.models.length ? Math.min(MODELS + 1, node.models.length) * 17 : 0);
}

/**
 * @param {{graph: Graph, onNode?: (node: GraphNode) => void, onEdge?: (edge: GraphEdge) => void, nodeHint?: string}} props
 */
export function GraphView({ graph, onNode, onEdge, nodeHint }) {
  const [open, setOpen] = useState(/** @type {Set<string>} */ (new Set()));
  const [over, setOver] = useState("");
  const folded = useMemo(() => foldTools(graph, open), [graph, open]);
  const placed = useMemo(
    () => layout(folded.nodes.map((n) => ({ id: n.id, width: n.kind === "user" ? 76 : WIDTH, height: heightOf(n) })), folded.edges),
    [folded],
  );
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const [scale, setScale] = useState(1);
  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return undefined;
    const fit = () => setScale(Math.max(SMALLEST, Math.min(1, el.clientWidth / placed.width)));
    const watch = new ResizeObserver(fit);
    watch.observe(el);
    fit();
    // Where it begins: a tall graph is entered in the middle of its height.
    const entry = [...placed.places.values()].sort((a, b) => a.x - b.x)[0];
    if (entry) el.scrollTop = (entry.y + entry.height / 2) * (el.clientWidth < placed.width ? Math.max(SMALLEST, el.clientWidth / placed.width) : 1) - el.clientHeight / 2;
    return () => watch.disconnect();
  }, [placed]);
  const most = Math.max(1, ...folded.edges.map((e) => e.duration ?? 0));
  if (!folded.nodes.length) return html`<div class="empty"><h2>No agents or tools</h2><p>No span of this kind was recorded here.</p></div>`;
  const near = (/** @type {GraphEdge} */ e) => !over || e.from === over || e.to === over;

  return html`<div class="graph" ref=${box}><div style=${{ width: `${placed.width * scale}px`, height: `${placed.height * scale}px` }}><div class="graph-canvas" style=${{ width: `${placed.width}px`, height: `${placed.height}px`, transform: `scale(${scale})` }}>
    <svg width=${placed.width} height=${placed.height} aria-hidden="true">
      <defs>${["", "bad"].map((c) => html`<marker key=${c} id=${`arrow${c}`} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8Z" class=${`head ${c}`} /></marker>`)}</defs>
      ${folded.edges.map((edge) => {
        const line = curve(placed, edge);
        if (!line) return null;
        const bad = isBad(edge);
        return html`<g key=${`${edge.from} ${edge.to}`} class=${`edge ${bad ? "bad" : ""} ${near(edge) ? "" : "dim"} ${edge.handoff ? "handoff" : ""}`} onClick=${() => onEdge?.(edge)}>
          <path class="wide" d=${line.d} /><path class="line" d=${line.d} stroke-width=${1.25 + 3.5 * Math.sqrt((edge.duration ?? 0) / most)} marker-end=${`url(#arrow${bad ? "bad" : ""})`} />
          <title>${`${edge.calls} calls, ${duration(edge.duration)}${bad ? `, ${edge.errors} failed` : ""}${edge.handoff ? ", hand-off" : ""}`}</title></g>`;
      })}
      ${folded.edges.map((edge) => {
        const line = (folded.edges.length <= LABELS || over) && near(edge) && curve(placed, edge);
        return line && html`<text key=${`${edge.from} ${edge.to} label`} x=${line.x} y=${line.y} class=${`edge-label ${isBad(edge) ? "bad" : ""}`} text-anchor="middle">×${count(edge.calls)}${edge.errors ? ` · ${count(edge.errors)} ✗` : ""}</text>`;
      })}
    </svg>
    ${folded.nodes.map((node) => {
      const at = placed.places.get(node.id);
      return at && html`<button key=${node.id} class=${`node node-${node.kind} ${isBad(node) ? "has-errors" : ""}`} style=${{ left: `${at.x}px`, top: `${at.y}px`, width: `${at.width}px`, height: `${at.height}px` }}
        title=${node.folded ? "Show these tools" : nodeHint ? `${node.name}: ${nodeHint}` : node.name} onMouseEnter=${() => setOver(node.id)} onMouseLeave=${() => setOver("")} onFocus=${() => setOver(node.id)} onBlur=${() => setOver("")}
        onClick=${() => (node.folded ? setOpen(new Set([...open, ...node.folded])) : node.kind !== "user" && onNode?.(node))}>
        ${node.kind === "user" ? html`<span class="clip">user</span>` : html`
        <span class="row"><${Kind} kind=${node.kind} /><b class="clip grow">${node.name}</b>${node.errors > 0 && html`<span class="bad node-errors">${count(node.errors)} ✗</span>`}</span>
        <span class="node-facts clip">${[duration(node.duration), node.cost !== null ? money(node.cost) : "", node.tokens ? `${short(node.tokens)} tok` : "", node.calls > 1 ? `×${count(node.calls)}` : ""].filter(Boolean).join(" · ")}</span>
        ${node.models.slice(0, MODELS).map(([model, n]) => html`<span class="node-model clip" key=${model}><i class="k-generation"></i>${model} ×${count(n)}</span>`)}
        ${node.models.length > MODELS && html`<span class="node-model">+${node.models.length - MODELS} models</span>`}`}
      </button>`;
    })}
  </div></div></div>`;
}

/** @param {{errors: number, calls: number}} of */
function isBad(of) {
  return of.errors > 0 && of.errors / Math.max(1, of.calls) >= RED_FROM;
}

/** The curve of an edge, with the place of its label. An edge that leads back goes around below.
 * @param {import("../layout.js").Layout} placed @param {GraphEdge} edge */
function curve(placed, edge) {
  const a = placed.places.get(edge.from);
  const b = placed.places.get(edge.to);
  if (!a || !b) return null;
  if (edge.from === edge.to) {
    const x = a.x + a.width / 2;
    return { d: `M${x + 20} ${a.y} C${x + 44} ${a.y - 26} ${x - 44} ${a.y - 26} ${x - 20} ${a.y}`, x, y: a.y - 20 };
  }
  const y1 = a.y + a.height / 2;
  const y2 = b.y + b.height / 2;
  if (b.x > a.x) {
    let d = `M${a.x + a.width} ${y1}`;
    let [x1, from] = [a.x + a.width, y1];
    for (const gate of placed.gates.get(edgeKey(edge.from, edge.to)) ?? []) {
      const middle = (x1 + gate.from) / 2;
      d += ` C${middle} ${from} ${middle} ${gate.y} ${gate.from} ${gate.y} H${gate.to}`;
      [x1, from] = [gate.to, gate.y];
    }
    const x2 = b.x - 1;
    const bend = Math.max(36, (x2 - x1) / 2);
    // Nearer to the target, where edges of one source have parted.
    const t = 0.62;
    const mix = (/** @type {number} */ p0, /** @type {number} */ p1, /** @type {number} */ p2, /** @type {number} */ p3) => (1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t * t * p2 + t ** 3 * p3;
    return { d: `${d} C${x1 + bend} ${from} ${x2 - bend} ${y2} ${x2} ${y2}`, x: mix(x1, x1 + bend, x2 - bend, x2), y: mix(from, from, y2, y2) - 5 };
  }
  const below = Math.max(a.y + a.height, b.y + b.height) + 20;
  const x1 = a.x + a.width / 2;
  const x2 = b.x + b.width / 2;
  return { d: `M${x1} ${a.y + a.height} C${x1} ${below} ${x2} ${below} ${x2} ${b.y + b.height}`, x: (x1 + x2) / 2, y: below - 8 };
}
