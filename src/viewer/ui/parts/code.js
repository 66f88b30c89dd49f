// @ts-check
// Text in a fixed pitch with a little colour: JSON, and what most languages share (strings, numbers, comments, common
// words). A tokenizer of one expression instead of a library; text beyond the limit stays plain.

import { html } from "../vendor/preact-htm-signals.js";
import { CopyButton } from "./bits.js";

const COLOURED_MOST = 20_000;
const JSON_TOKEN = /("(?:[^"\\\n]|\\.)*")(\s*:)?|(-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|\b(true|false|null)\b/g;
const CODE_TOKEN = /("""[\s\S]*?"""|'''[\s\S]*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|((?:#|\/\/|--\s)[^\n]*|\/\*[\s\S]*?\*\/)|\b(\d+(?:\.\d+)?)\b|\b(def|class|return|import|from|as|if|elif|else|for|while|with|try|except|finally|raise|async|await|lambda|yield|in|is|not|and|or|None|True|False|const|let|var|function|new|typeof|export|default|fn|pub|use|mut|struct|enum|impl|match|SELECT|FROM|WHERE|INSERT|UPDATE|DELETE|CREATE|TABLE|JOIN|ORDER|GROUP|BY|PRAGMA|LIMIT|echo|export)\b/g;
const PLAIN = new Set(["text", "txt", "plain", "output", "console"]);

/** @param {string} text @param {RegExp} pattern @param {(m: RegExpMatchArray) => string} classOf */
function colour(text, pattern, classOf) {
  const out = [];
  let at = 0;
  for (const m of text.matchAll(pattern)) {
    const index = /** @type {number} */ (m.index);
    if (index > at) out.push(text.slice(at, index));
    out.push(html`<span class=${classOf(m)}>${m[0]}</span>`);
    at = index + m[0].length;
  }
  out.push(text.slice(at));
  return out;
}

/** @param {string} text */
export function colourJson(text) {
  if (text.length > COLOURED_MOST) return text;
  return colour(text, JSON_TOKEN, (m) => (m[2] ? "t-key" : m[1] ? "t-str" : m[3] ? "t-num" : "t-word"));
}

/** @param {string} text */
function colourCode(text) {
  return colour(text, CODE_TOKEN, (m) => (m[1] ? "t-str" : m[2] ? "t-com" : m[3] ? "t-num" : "t-word"));
}

/** @param {{text: string, language?: string}} props */
export function Code({ text, language = "" }) {
  const kind = language.toLowerCase();
  const body = text.length > COLOURED_MOST || PLAIN.has(kind) ? text : kind === "json" ? colourJson(text) : colourCode(text);
  return html`<div class="code"><${CopyButton} text=${text} /><pre>${body}</pre></div>`;
}

/** JSON text with indents, or null if it is none. Only objects and lists: a bare number is text.
 * @param {any} value text or what JSON made of it @returns {string|null} */
export function prettyJson(value) {
  if (value === null || value === undefined) return null;
  if (typeof value !== "string") return JSON.stringify(value, null, 2);
  const text = value.trim();
  if (!(text.startsWith("{") && text.endsWith("}")) && !(text.startsWith("[") && text.endsWith("]"))) return null;
  if (text.length > 400_000) return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}
