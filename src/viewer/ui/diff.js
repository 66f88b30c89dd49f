// @ts-check
// The difference of two texts, by lines and then by words within changed lines. Pure functions.

/** @typedef {{type: "same"|"gone"|"new", text: string}} Piece */

/** More cells than this would take too long: then the middle is shown as replaced. */
const CELLS = 2_000_000;

/**
 * Longest common subsequence of two lists, as runs; equal heads and tails are taken off first.
 * @param {string[]} a @param {string[]} b @returns {Piece[]}
 */
export function diffLists(a, b) {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  /** @type {Piece[]} */
  const pieces = a.slice(0, head).map((text) => ({ type: "same", text }));
  pieces.push(...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)));
  pieces.push(...a.slice(a.length - tail).map((text) => /** @type {Piece} */ ({ type: "same", text })));
  return pieces;
}

/** @param {string[]} a @param {string[]} b @returns {Piece[]} */
function middle(a, b) {
  /** @type {Piece[]} */
  const pieces = [];
  const width = b.length + 1;
  if (a.length && b.length && (a.length + 1) * width <= CELLS) {
    const length = new Uint32Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        length[i * width + j] =
          a[i] === b[j] ? length[(i + 1) * width + j + 1] + 1 : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
      }
    }
    let i = 0;
    let j = 0;
    while (i < a.length && j < b.length) {
      if (a[i] === b[j]) {
        pieces.push({ type: "same", text: a[i++] });
        j++;
      } else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) pieces.push({ type: "gone", text: a[i++] });
      else pieces.push({ type: "new", text: b[j++] });
    }
    a = a.slice(i);
    b = b.slice(j);
  }
  pieces.push(...a.map((text) => /** @type {Piece} */ ({ type: "gone", text })));
  pieces.push(...b.map((text) => /** @type {Piece} */ ({ type: "new", text })));
  return pieces;
}

/** Lines of two texts; each line keeps the words that differ.
 * @param {string} a @param {string} b @returns {{type: "same"|"gone"|"new", words: Piece[]}[]} */
export function diffLines(a, b) {
  const lines = diffLists(a ? a.split("\n") : [], b ? b.split("\n") : []);
  /** @type {{type: "same"|"gone"|"new", words: Piece[]}[]} */
  const rows = [];
  for (let k = 0; k < lines.length; ) {
    if (lines[k].type === "same") {
      rows.push({ type: "same", words: [lines[k++]] });
      continue;
    }
    /** @type {string[]} */
    const gone = [];
    /** @type {string[]} */
    const fresh = [];
    while (k < lines.length && lines[k].type !== "same") (lines[k].type === "gone" ? gone : fresh).push(lines[k++].text);
    const news = /** @type {typeof rows} */ ([]);
    for (let m = 0; m < Math.max(gone.length, fresh.length); m++) {
      const words = gone[m] !== undefined && fresh[m] !== undefined ? diffLists(split(gone[m]), split(fresh[m])) : null;
      if (gone[m] !== undefined) rows.push({ type: "gone", words: words ? words.filter((w) => w.type !== "new") : [{ type: "gone", text: gone[m] }] });
      if (fresh[m] !== undefined) news.push({ type: "new", words: words ? words.filter((w) => w.type !== "gone") : [{ type: "new", text: fresh[m] }] });
    }
    rows.push(...news);
  }
  return rows;
}

/** Words and what is between them. @param {string} text */
function split(text) {
  return text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
}
