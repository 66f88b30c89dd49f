// @ts-check
// Where the cards of a graph go: layers from left to right, few crossings, the same picture for the same graph every
// time. Agent graphs have some 40 cards after folding, so this is a small version of the usual steps (cut cycles,
// longest path, barycentres) instead of a library. No DOM here.

/** @typedef {{id: string, width: number, height: number}} Box */
/** @typedef {{x: number, y: number, width: number, height: number}} Place */
/** Where an edge passes through a layer that it skips: at this height, from one x to another.
 * @typedef {{y: number, from: number, to: number}} Gate */
/** @typedef {{places: Map<string, Place>, gates: Map<string, Gate[]>, width: number, height: number, layers: number}} Layout */

const GAP_X = 92;
const GAP_Y = 22;
const MARGIN = 24;
const SWEEPS = 6;
/** Room for an edge that passes between two cards. */
const LANE = 12;
const LANE_GAP = 4;

/**
 * @param {Box[]} boxes in the order that decides ties
 * @param {{from: string, to: string}[]} edges
 * @returns {Layout}
 */
export function layout(boxes, edges) {
  const index = new Map(boxes.map((box, i) => [box.id, i]));
  /** @type {number[][]} */
  const out = boxes.map(() => []);
  for (const edge of edges) {
    const a = index.get(edge.from);
    const b = index.get(edge.to);
    if (a !== undefined && b !== undefined && a !== b && !out[a].includes(b)) out[a].push(b);
  }
  const forward = cutCycles(out);
  const chains = splitLongEdges(forward, longestPaths(forward));
  const layers = orderLayers(chains.forward, chains.layer);
  return place(boxes, layers, chains.long);
}

/** Give every edge over several layers a place in each of them, so that it does not run behind cards.
 * @param {number[][]} forward @param {Int32Array} layer */
function splitLongEdges(forward, layer) {
  const deep = [...layer];
  /** @type {number[][]} */
  const out = forward.map(() => []);
  /** @type {{from: number, to: number, through: number[]}[]} */
  const long = [];
  forward.forEach((list, a) => list.forEach((b) => {
    const through = [];
    let at = a;
    for (let l = layer[a] + 1; l < layer[b]; l++) {
      const gate = out.push([]) - 1;
      deep.push(l);
      through.push(gate);
      out[at].push(gate);
      at = gate;
    }
    out[at].push(b);
    if (through.length) long.push({ from: a, to: b, through });
  }));
  return { forward: out, layer: Int32Array.from(deep), long };
}

/** The key of an edge in `gates`. @param {string} from @param {string} to */
export function edgeKey(from, to) {
  return JSON.stringify([from, to]);
}

/** Leave out edges that lead back. @param {number[][]} out @returns {number[][]} */
function cutCycles(out) {
  const state = new Uint8Array(out.length); // 0 new, 1 on the way, 2 done
  /** @type {number[][]} */
  const forward = out.map(() => []);
  const incoming = new Int32Array(out.length);
  for (const list of out) for (const b of list) incoming[b]++;
  // Begin where nothing leads to, so that the edge that is cut is the one that returns.
  const begin = out.map((_, i) => i).sort((a, b) => Number(incoming[a] > 0) - Number(incoming[b] > 0) || a - b);
  for (const root of begin) {
    if (state[root]) continue;
    const stack = [{ i: root, k: 0 }];
    state[root] = 1;
    while (stack.length) {
      const top = stack[stack.length - 1];
      if (top.k >= out[top.i].length) {
        state[top.i] = 2;
        stack.pop();
        continue;
      }
      const b = out[top.i][top.k++];
      if (state[b] === 1) continue;
      forward[top.i].push(b);
      if (state[b] === 0) {
        state[b] = 1;
        stack.push({ i: b, k: 0 });
      }
    }
  }
  return forward;
}

/** @param {number[][]} forward @returns {Int32Array} */
function longestPaths(forward) {
  const layer = new Int32Array(forward.length);
  const incoming = new Int32Array(forward.length);
  for (const list of forward) for (const b of list) incoming[b]++;
  const ready = forward.map((_, i) => i).filter((i) => incoming[i] === 0);
  for (let k = 0; k < ready.length; k++) {
    const a = ready[k];
    for (const b of forward[a]) {
      layer[b] = Math.max(layer[b], layer[a] + 1);
      if (--incoming[b] === 0) ready.push(b);
    }
  }
  return layer;
}

/** @param {number[][]} forward @param {Int32Array} layer @returns {number[][]} */
function orderLayers(forward, layer) {
  const depth = layer.length ? Math.max(...layer) + 1 : 0;
  /** @type {number[][]} */
  const layers = Array.from({ length: depth }, () => []);
  layer.forEach((l, i) => layers[l].push(i));
  /** @type {number[][]} */
  const back = forward.map(() => []);
  forward.forEach((list, a) => list.forEach((b) => back[b].push(a)));
  const rank = new Float64Array(layer.length);
  const number = () => layers.forEach((list) => list.forEach((i, k) => (rank[i] = (k + 0.5) / list.length)));
  number();
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const near = sweep % 2 ? forward : back;
    const list = sweep % 2 ? [...layers].reverse() : layers;
    for (const nodes of list) {
      const middle = new Map(nodes.map((i) => [i, near[i].length ? near[i].reduce((s, j) => s + rank[j], 0) / near[i].length : rank[i]]));
      nodes.sort((a, b) => /** @type {number} */ (middle.get(a)) - /** @type {number} */ (middle.get(b)) || rank[a] - rank[b]);
      nodes.forEach((i, k) => (rank[i] = (k + 0.5) / nodes.length));
    }
  }
  return layers;
}

/** @param {Box[]} boxes @param {number[][]} layers @param {{from: number, to: number, through: number[]}[]} long @returns {Layout} */
function place(boxes, layers, long) {
  const high = (/** @type {number} */ i) => (boxes[i] ? boxes[i].height + GAP_Y : LANE + LANE_GAP);
  const heights = layers.map((list) => list.reduce((sum, i) => sum + high(i), 0));
  /** @type {Map<number, Gate>} */
  const gateAt = new Map();
  const tallest = Math.max(0, ...heights);
  const places = new Map();
  let x = MARGIN;
  layers.forEach((list, l) => {
    let y = MARGIN + (tallest - heights[l]) / 2;
    const wide = Math.max(0, ...list.map((i) => boxes[i]?.width ?? 0));
    for (const i of list) {
      // At the right side of its layer, so that what leaves a narrow card does not cross a wide one below it.
      if (boxes[i]) places.set(boxes[i].id, { x: x + wide - boxes[i].width, y, width: boxes[i].width, height: boxes[i].height });
      else gateAt.set(i, { y: y + LANE / 2, from: x, to: x + wide });
      y += high(i);
    }
    x += wide + GAP_X;
  });
  const gates = new Map(long.map((edge) => [edgeKey(boxes[edge.from].id, boxes[edge.to].id), edge.through.map((i) => /** @type {Gate} */ (gateAt.get(i)))]));
  return { places, gates, width: Math.max(0, x - GAP_X) + MARGIN, height: tallest + 2 * MARGIN, layers: layers.length };
}

/** Agents with more tools than this show one card for all of them. */
export const TOOLS_SHOWN = 8;

/**
 * A graph with the tools of an agent folded where they are too many to read. `open` holds agents shown in full.
 * Tools that several agents share stay: they are what connects the agents.
 * @param {import("./types.js").Graph} graph @param {Set<string>} open
 * @returns {{nodes: (import("./types.js").GraphNode & {folded?: string[]})[], edges: import("./types.js").GraphEdge[]}}
 */
export function foldTools(graph, open) {
  const callers = new Map();
  for (const edge of graph.edges) callers.set(edge.to, (callers.get(edge.to) ?? new Set()).add(edge.from));
  /** @type {Map<string, string>} */
  const into = new Map();
  const nodes = /** @type {(import("./types.js").GraphNode & {folded?: string[]})[]} */ ([]);
  const byId = new Map(graph.nodes.map((node) => [node.id, node]));
  for (const agent of graph.nodes) {
    if (agent.kind !== "agent" || open.has(agent.id)) continue;
    const tools = graph.edges.filter((e) => e.from === agent.id && byId.get(e.to)?.kind === "tool" && callers.get(e.to)?.size === 1).map((e) => e.to);
    if (tools.length <= TOOLS_SHOWN) continue;
    const id = `tools of ${agent.id}`;
    const sum = { calls: 0, errors: 0, duration: 0 };
    for (const tool of tools) {
      const node = /** @type {import("./types.js").GraphNode} */ (byId.get(tool));
      into.set(tool, id);
      sum.calls += node.calls;
      sum.errors += node.errors;
      sum.duration += node.duration ?? 0;
    }
    nodes.push({ id, kind: "tool", name: `${tools.length} tools`, ...sum, tokens: null, cost: null, models: [], folded: [agent.id] });
  }
  const kept = graph.nodes.filter((node) => !into.has(node.id));
  /** @type {Map<string, import("./types.js").GraphEdge>} */
  const edges = new Map();
  for (const edge of graph.edges) {
    const to = into.get(edge.to) ?? edge.to;
    const key = edgeKey(edge.from, to);
    const known = edges.get(key);
    if (!known) edges.set(key, { ...edge, to });
    else {
      known.calls += edge.calls;
      known.errors += edge.errors;
      known.duration = (known.duration ?? 0) + (edge.duration ?? 0);
      known.spans = [...known.spans, ...edge.spans];
    }
  }
  return { nodes: [...kept, ...nodes], edges: [...edges.values()] };
}
