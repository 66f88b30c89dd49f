// @ts-check
// From the columns of a trace to what the timeline shows: the tree, its rows, the critical path, attempts, the story.
// Pure functions without DOM, tested in the browser by tests/viewer. Every walk is a loop with a stack of its own and
// visits each span once: a chain of 50,000 calls and a ring of parents are ordinary input.

/** @typedef {import("./types.js").Skeleton} Skeleton */

export const KINDS = [
  "span", "workflow", "agent", "generation", "retrieval", "embedding", "rerank", "tool", "evaluator", "guardrail",
];
export const STATUSES = ["ok", "error", "cancelled", "interrupted", "abandoned", "running", "lost"];

export const ROOT = -1;
/** The parent is not in the store. */
export const MISSING = -2;
/** The parents go in a ring. */
export const LOOP = -3;

/** Siblings of one name are folded from this many on. */
export const FOLD_FROM = 3;

/**
 * @typedef {object} Tree
 * @property {number} n
 * @property {Skeleton} spans
 * @property {Int32Array} parent   index, ROOT, MISSING or LOOP
 * @property {Int32Array} depth    0 for roots
 * @property {Float64Array} start  nanoseconds from the trace's start
 * @property {Float64Array} end
 * @property {Int32Array} childAt  children of i are childList[childAt[i]] to childList[childAt[i + 1] - 1]
 * @property {Int32Array} childList
 * @property {number[]} roots
 * @property {number[]} stray      spans whose parent is missing, or a ring
 * @property {Int32Array} order    all spans in the order of a walk through the tree
 * @property {Int32Array} below    how many spans are under each
 * @property {Uint8Array} troubled 1 where a span below failed of itself
 * @property {number} from         the earliest start
 * @property {number} to           the latest end
 */

/** @param {Skeleton} spans @returns {Tree} */
export function buildTree(spans) {
  const n = spans.n;
  const parent = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    const p = spans.parent[i];
    parent[i] = p === ROOT ? ROOT : p >= 0 && p < n && p !== i ? p : p === i ? LOOP : MISSING;
  }
  breakRings(parent);

  const childAt = new Int32Array(n + 1);
  for (let i = 0; i < n; i++) if (parent[i] >= 0) childAt[parent[i] + 1]++;
  for (let i = 0; i < n; i++) childAt[i + 1] += childAt[i];
  const next = childAt.slice();
  const childList = new Int32Array(childAt[n]);
  for (let i = 0; i < n; i++) if (parent[i] >= 0) childList[next[parent[i]]++] = i;

  const roots = [];
  const stray = [];
  for (let i = 0; i < n; i++) {
    if (parent[i] === ROOT) roots.push(i);
    else if (parent[i] < 0) stray.push(i);
  }

  const start = new Float64Array(n);
  const end = new Float64Array(n);
  let from = Infinity;
  let to = -Infinity;
  for (let i = 0; i < n; i++) {
    start[i] = spans.start[i] ?? 0;
    end[i] = start[i] + Math.max(0, spans.duration[i] ?? 0);
    if (start[i] < from) from = start[i];
    if (end[i] > to) to = end[i];
  }
  if (n === 0) [from, to] = [0, 1];
  if (to <= from) to = from + 1;

  const depth = new Int32Array(n);
  const order = new Int32Array(n);
  const below = new Int32Array(n);
  const troubled = new Uint8Array(n);
  let k = 0;
  const stack = [...roots, ...stray].reverse();
  for (const i of stray) depth[i] = 1;
  while (stack.length) {
    const i = /** @type {number} */ (stack.pop());
    order[k++] = i;
    for (let c = childAt[i + 1] - 1; c >= childAt[i]; c--) {
      depth[childList[c]] = depth[i] + 1;
      stack.push(childList[c]);
    }
  }
  for (let at = k - 1; at >= 0; at--) {
    const i = order[at];
    if (parent[i] < 0) continue;
    below[parent[i]] += below[i] + 1;
    if (troubled[i] || spans.own_error[i]) troubled[parent[i]] = 1;
  }
  return { n, spans, parent, depth, start, end, childAt, childList, roots, stray, order, below, troubled, from, to };
}

/** Cut every ring of parents at one of its spans, the first that is met. @param {Int32Array} parent */
function breakRings(parent) {
  const n = parent.length;
  // 0 not seen, otherwise the number of the walk that saw it: meeting one's own number again is a ring.
  const seen = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    let at = i;
    while (at >= 0 && seen[at] === 0) {
      seen[at] = i + 1;
      at = parent[at];
    }
    if (at >= 0 && seen[at] === i + 1) parent[at] = LOOP;
  }
}

/** @param {Tree} tree @param {number} i @returns {Int32Array} */
export function children(tree, i) {
  return tree.childList.subarray(tree.childAt[i], tree.childAt[i + 1]);
}

/** @param {Tree} tree @param {number} i @returns {string} */
export function nameOf(tree, i) {
  return tree.spans.names[tree.spans.name[i]] ?? "";
}

/** @param {Skeleton} spans @param {number} index @returns {string|null} */
export function textOf(spans, index) {
  return index >= 0 ? spans.names[index] ?? null : null;
}

/** @param {Tree} tree @param {number} i */
export function failed(tree, i) {
  return tree.spans.status[i] === 1 || tree.spans.own_error[i] === 1;
}

/**
 * A row of the timeline. `members` are the siblings that a folded row stands for.
 * @typedef {{type: "span"|"fold"|"missing", i: number, depth: number, key: string, members: number[]|null,
 *   folding: string|null}} Row
 */

/**
 * The rows to show. `closed` holds keys of rows whose children are hidden, `unfolded` keys of folds that are open.
 * @param {Tree} tree @param {Set<string>} closed @param {Set<string>} unfolded @param {boolean} [fold]
 * @returns {Row[]}
 */
export function flatten(tree, closed, unfolded, fold = true) {
  /** @type {Row[]} */
  const rows = [];
  /** @type {Row[]} */
  const stack = [];
  if (tree.stray.length) {
    stack.push({ type: "missing", i: -1, depth: 0, key: "missing", members: tree.stray, folding: null });
  }
  pushSiblings(tree, tree.roots, 0, "root", unfolded, fold, stack);
  while (stack.length) {
    const row = /** @type {Row} */ (stack.pop());
    rows.push(row);
    if (row.type === "fold") {
      if (!unfolded.has(row.key)) continue;
      const members = /** @type {number[]} */ (row.members);
      for (let k = members.length - 1; k >= 0; k--) stack.push(spanRow(members[k], row.depth + 1, row.key));
    } else if (!closed.has(row.key)) {
      if (row.type === "missing") pushSiblings(tree, tree.stray, 1, "missing", unfolded, fold, stack);
      else if (tree.childAt[row.i + 1] > tree.childAt[row.i]) {
        pushSiblings(tree, children(tree, row.i), row.depth + 1, String(row.i), unfolded, fold, stack);
      }
    }
  }
  return rows;
}

/** @param {number} i @param {number} depth @param {string|null} folding @returns {Row} */
function spanRow(i, depth, folding) {
  return { type: "span", i, depth, key: String(i), members: null, folding };
}

/** @param {Tree} tree @param {ArrayLike<number>} list @param {number} depth @param {string} where
 * @param {Set<string>} unfolded @param {boolean} fold @param {Row[]} stack */
function pushSiblings(tree, list, depth, where, unfolded, fold, stack) {
  // Backwards, because the stack turns the order around. A run is of neighbours with one name and one kind.
  const { name, kind } = tree.spans;
  let last = list.length - 1;
  while (last >= 0) {
    let first = last;
    while (first > 0 && name[list[first - 1]] === name[list[last]] && kind[list[first - 1]] === kind[list[last]]) first--;
    const length = last - first + 1;
    if (fold && length >= FOLD_FROM) {
      const members = Array.from({ length }, (_, k) => list[first + k]);
      stack.push({ type: "fold", i: members[0], depth, key: `${where}:${members[0]}`, members, folding: null });
    } else {
      for (let k = last; k >= first; k--) stack.push(spanRow(list[k], depth, null));
    }
    last = first - 1;
  }
}

/**
 * Open what hides a span: its closed ancestors and the folds around it and them. Changes both sets.
 * @param {Tree} tree @param {number} i @param {Set<string>} closed @param {Set<string>} unfolded
 */
export function reveal(tree, i, closed, unfolded) {
  for (let at = i; at >= 0; at = tree.parent[at]) {
    const p = tree.parent[at];
    if (at !== i) closed.delete(String(at));
    if (p < ROOT) closed.delete("missing");
    const siblings = p >= 0 ? children(tree, p) : p === ROOT ? tree.roots : tree.stray;
    const where = p >= 0 ? String(p) : p === ROOT ? "root" : "missing";
    let k = siblings.indexOf(at);
    const { name, kind } = tree.spans;
    let first = k;
    while (first > 0 && name[siblings[first - 1]] === name[at] && kind[siblings[first - 1]] === kind[at]) first--;
    while (k + 1 < siblings.length && name[siblings[k + 1]] === name[at] && kind[siblings[k + 1]] === kind[at]) k++;
    if (k - first + 1 >= FOLD_FROM) unfolded.add(`${where}:${siblings[first]}`);
  }
}

/**
 * The chain of work that decided when the trace ended: from the end backwards, always into the child that ended last.
 * Gives the pieces of time during which a span itself was what the trace waited for, newest first, and each span's sum.
 * A child counts only as far as it lies within its parent, so work that outlives its parent does not lead astray.
 * @param {Tree} tree
 * @returns {{pieces: [number, number, number][], own: Map<number, number>}} pieces are [span, from, to]
 */
export function criticalPath(tree) {
  /** @type {[number, number, number][]} */
  const pieces = [];
  const own = new Map();
  const root = longestRoot(tree);
  if (root < 0) return { pieces, own };
  /** @param {number} i @param {number} from @param {number} to */
  const piece = (i, from, to) => {
    if (to <= from) return;
    pieces.push([i, from, to]);
    own.set(i, (own.get(i) ?? 0) + to - from);
  };
  /** @param {number} i @param {number} until */
  const frame = (i, until) => {
    const list = Array.from(children(tree, i)).sort((a, b) => tree.end[a] - tree.end[b]);
    return { i, at: until, list };
  };
  const stack = [frame(root, tree.end[root])];
  while (stack.length) {
    const top = stack[stack.length - 1];
    const low = tree.start[top.i];
    // The child that was still at work last before `at`.
    let child = -1;
    while (top.list.length) {
      const c = /** @type {number} */ (top.list.pop());
      if (tree.start[c] < top.at && tree.end[c] > low && tree.end[c] > tree.start[c]) {
        child = c;
        break;
      }
    }
    if (child < 0) {
      piece(top.i, low, top.at);
      stack.pop();
      continue;
    }
    const until = Math.min(tree.end[child], top.at);
    piece(top.i, until, top.at);
    top.at = Math.max(low, tree.start[child]);
    // Most spans have nothing below them: they need no frame.
    if (tree.childAt[child + 1] === tree.childAt[child]) piece(child, tree.start[child], until);
    else stack.push(frame(child, until));
  }
  return { pieces, own };
}

/** @param {Tree} tree */
export function longestRoot(tree) {
  let best = -1;
  for (const i of tree.roots.length ? tree.roots : tree.stray) {
    if (best < 0 || tree.end[i] - tree.start[i] > tree.end[best] - tree.start[best]) best = i;
  }
  return best;
}

/**
 * Attempts at one thing: siblings of one name and kind, one after the other, of which all but the last failed.
 * @typedef {{members: number[], recovered: boolean, lost: number}} Attempts
 * @param {Tree} tree
 * @returns {{groups: Attempts[], of: Map<number, {group: Attempts, number: number}>}}
 */
export function attempts(tree) {
  /** @type {Attempts[]} */
  const groups = [];
  const of = new Map();
  /** @param {number[]} members @param {boolean} recovered */
  const close = (members, recovered) => {
    if (members.length < 2) return;
    let lost = 0;
    for (const i of members) if (failed(tree, i)) lost += tree.end[i] - tree.start[i];
    const group = { members, recovered, lost };
    groups.push(group);
    members.forEach((i, k) => of.set(i, { group, number: k + 1 }));
  };
  /** @param {ArrayLike<number>} list */
  const look = (list) => {
    /** @type {Map<string, number[]>} */
    const open = new Map();
    for (let k = 0; k < list.length; k++) {
      const i = list[k];
      const key = `${tree.spans.kind[i]} ${tree.spans.name[i]}`;
      let run = open.get(key) ?? [];
      // Side by side is not a second try.
      if (run.length && tree.start[i] < tree.end[run[run.length - 1]]) {
        close(run, false);
        run = [];
      }
      if (failed(tree, i)) {
        open.set(key, [...run, i]);
      } else {
        if (run.length && tree.spans.status[i] === 0) close([...run, i], true);
        else close(run, false);
        open.delete(key);
      }
    }
    for (const run of open.values()) close(run, false);
  };
  look(tree.roots);
  for (let i = 0; i < tree.n; i++) if (tree.troubled[i]) look(children(tree, i));
  return { groups, of };
}

/**
 * Who made the cost, largest first.
 * @param {Tree} tree @param {"model"|"agent"} by @returns {{name: string, cost: number, share: number}[]}
 */
export function costShare(tree, by) {
  const sums = new Map();
  let total = 0;
  const column = tree.spans[by];
  for (let i = 0; i < tree.n; i++) {
    const cost = tree.spans.cost[i];
    if (!cost) continue;
    total += cost;
    if (column[i] >= 0) sums.set(column[i], (sums.get(column[i]) ?? 0) + cost);
  }
  return [...sums].map(([k, cost]) => ({ name: tree.spans.names[k], cost, share: cost / total })).sort((a, b) => b.cost - a.cost);
}

/** Spans that failed of themselves, in the order of the rows. @param {Tree} tree @returns {number[]} */
export function errorsInOrder(tree) {
  const found = [];
  for (const i of tree.order) if (tree.spans.own_error[i]) found.push(i);
  return found;
}

/** Spans whose name, agent, model or error contains the text, in the order of the rows; case does not matter.
 * @param {Tree} tree @param {string} text @returns {number[]} */
export function find(tree, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const hit = tree.spans.names.map((name) => name.toLowerCase().includes(wanted));
  const { name, agent, model, error, id } = tree.spans;
  const found = [];
  for (const i of tree.order) {
    if (hit[name[i]] || hit[agent[i]] || hit[model[i]] || hit[error[i]] || id[i].startsWith(wanted)) found.push(i);
  }
  return found;
}

/**
 * The spans that calls of tools led to: the k-th call of a name is the k-th span of that name that began when the
 * answer was there, among what comes after it under the same parent or below. A call that hands over to an agent names
 * the agent in an argument.
 * @param {Tree} tree @param {number} from the span that asked @param {{name?: string, arguments?: any}[]} calls
 * @returns {(number|null)[]}
 */
export function spansOfCalls(tree, from, calls) {
  const taken = new Set();
  const p = tree.parent[from];
  const near = p >= 0 ? [...children(tree, p), ...children(tree, from)] : [...children(tree, from)];
  const tool = KINDS.indexOf("tool");
  const agent = KINDS.indexOf("agent");
  /** @param {(i: number) => boolean} wanted */
  const first = (wanted) => {
    for (const i of near) {
      if (i === from || taken.has(i) || tree.start[i] < tree.start[from]) continue;
      const kind = tree.spans.kind[i];
      if ((kind === tool || kind === agent) && wanted(i)) {
        taken.add(i);
        return i;
      }
    }
    return null;
  };
  return calls.map((call) => {
    const direct = first((i) => nameOf(tree, i) === call.name);
    if (direct !== null) return direct;
    let args = call.arguments;
    if (typeof args === "string") {
      try {
        args = JSON.parse(args);
      } catch {
        return null;
      }
    }
    const values = args && typeof args === "object" ? Object.values(args).filter((v) => typeof v === "string") : [];
    return first((i) => tree.spans.kind[i] === agent && values.includes(nameOf(tree, i)));
  });
}
