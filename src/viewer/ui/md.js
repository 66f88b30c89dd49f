// @ts-check
// Markdown to nodes: the part of it that models write. There is no way to HTML here: every piece of text becomes a
// text node. Links show where they lead and open only http(s) and mailto; images are named, never loaded, because an
// address with data in it is how prompts leak.

import { html } from "./vendor/preact-htm-signals.js";
import { Code } from "./parts/code.js";

const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])\s*(?:\1\s*){2,}$/;
const ITEM = /^(\s*)(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}>\s?(.*)$/;
const ROW = /^\s*\|(.+)\|\s*$/;
const ROW_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
/** Deeper than this is shown as text. */
const DEEPEST = 8;
/** In longer paragraphs marks stay marks: looking for the partners of thousands of them takes seconds. */
const LONGEST = 5_000;

/** @param {{text: string}} props */
export function Markdown({ text }) {
  return html`<div class="md">${blocks(text.split("\n"), 0)}</div>`;
}

/** @param {string[]} lines @param {number} depth @returns {any[]} */
function blocks(lines, depth) {
  const out = [];
  if (depth > DEEPEST) return [html`<p>${lines.join("\n")}</p>`];
  for (let k = 0; k < lines.length; ) {
    const line = lines[k];
    if (!line.trim()) {
      k++;
      continue;
    }
    const fence = FENCE.exec(line);
    if (fence) {
      const body = [];
      for (k++; k < lines.length && !lines[k].trimStart().startsWith(fence[1]); k++) body.push(lines[k]);
      k++;
      out.push(html`<${Code} text=${body.join("\n")} language=${fence[2]} />`);
      continue;
    }
    const heading = HEADING.exec(line);
    if (heading) {
      // A heading inside a message is not one of the page: the page's outline must not depend on content.
      out.push(html`<p class=${`md-h md-h${heading[1].length}`}>${inline(heading[2])}</p>`);
      k++;
      continue;
    }
    if (RULE.test(line)) {
      out.push(html`<hr />`);
      k++;
      continue;
    }
    if (QUOTE.test(line)) {
      const body = [];
      for (; k < lines.length && QUOTE.test(lines[k]); k++) body.push(lines[k].replace(QUOTE, "$1"));
      out.push(html`<blockquote>${blocks(body, depth + 1)}</blockquote>`);
      continue;
    }
    if (ITEM.test(line)) {
      const [list, next] = listOf(lines, k, depth);
      out.push(list);
      k = next;
      continue;
    }
    if (ROW.test(line) && k + 1 < lines.length && ROW_RULE.test(lines[k + 1])) {
      const rows = [];
      const head = cells(line);
      for (k += 2; k < lines.length && ROW.test(lines[k]); k++) rows.push(cells(lines[k]));
      out.push(html`<div class="md-table"><table>
        <thead><tr>${head.map((cell) => html`<th>${inline(cell)}</th>`)}</tr></thead>
        <tbody>${rows.map((row) => html`<tr>${row.map((cell) => html`<td>${inline(cell)}</td>`)}</tr>`)}</tbody>
      </table></div>`);
      continue;
    }
    const body = [line];
    for (k++; k < lines.length && lines[k].trim() && !begins(lines[k]); k++) body.push(lines[k]);
    out.push(html`<p>${inline(body.join("\n"))}</p>`);
  }
  return out;
}

/** @param {string} line */
function begins(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

/** @param {string} line */
function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

/** @param {string[]} lines @param {number} k @param {number} depth @returns {[any, number]} */
function listOf(lines, k, depth) {
  const first = /** @type {RegExpExecArray} */ (ITEM.exec(lines[k]));
  const margin = first[1].length;
  const items = [];
  while (k < lines.length) {
    const item = ITEM.exec(lines[k]);
    if (!item || item[1].length > margin + 1 || item[1].length < margin || (item[2] === undefined) !== (first[2] === undefined)) break;
    const body = [item[3]];
    for (k++; k < lines.length; k++) {
      const deeper = /^\s/.test(lines[k]) && lines[k].search(/\S/) > margin;
      if (!lines[k].trim() ? !(k + 1 < lines.length && lines[k + 1].search(/\S/) > margin) : !deeper) break;
      body.push(lines[k].slice(Math.min(lines[k].search(/\S|$/), margin + 2)));
    }
    items.push(html`<li>${body.length === 1 ? inline(body[0]) : blocks(body, depth + 1)}</li>`);
    while (k < lines.length && !lines[k].trim() && k + 1 < lines.length && ITEM.test(lines[k + 1])) k++;
  }
  return [first[2] === undefined ? html`<ul>${items}</ul>` : html`<ol start=${Number(first[2])}>${items}</ol>`, k];
}

const INLINE = /(`+)([\s\S]*?[^`])\1(?!`)|!\[([^\]\n]*)\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)[^)\n]*\)|\[([^\]\n]+)\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)[^)\n]*\)|(\*\*|__)(?=\S)([\s\S]*?\S)\7|(\*|_)(?=\S)([^*_\n]*[^\s*_])\9(?!\w)|~~(?=\S)([\s\S]*?\S)~~|(https?:\/\/[^\s<>()"'`]+[^\s<>()"'`.,;:!?])/g;

/** @param {string} text @param {number} [depth] @returns {any[]} */
function inline(text, depth = 0) {
  if (depth > DEEPEST || text.length > LONGEST) return [text];
  const out = [];
  let at = 0;
  for (const m of text.matchAll(INLINE)) {
    if (m.index > at) out.push(text.slice(at, m.index));
    at = m.index + m[0].length;
    if (m[2] !== undefined) out.push(html`<code>${m[2]}</code>`);
    else if (m[4] !== undefined) out.push(html`<span class="md-image" title=${m[4]}>image: ${m[3] || m[4]}</span>`);
    else if (m[6] !== undefined) out.push(link(m[6], inline(m[5], depth + 1)));
    else if (m[8] !== undefined) out.push(html`<strong>${inline(m[8], depth + 1)}</strong>`);
    else if (m[10] !== undefined) out.push(html`<em>${inline(m[10], depth + 1)}</em>`);
    else if (m[11] !== undefined) out.push(html`<del>${inline(m[11], depth + 1)}</del>`);
    else out.push(link(m[12], [m[12]]));
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

/** @param {string} to @param {any[]} content */
function link(to, content) {
  if (!/^(https?:\/\/|mailto:)/i.test(to)) return html`<span class="md-dead">${content} (${to})</span>`;
  return html`<a href=${to} title=${to} target="_blank" rel="noopener noreferrer nofollow">${content}</a>`;
}
