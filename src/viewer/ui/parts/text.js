// @ts-check
// A piece of text out of a trace, however large: shown as text, as Markdown or as it came, cut to what can be read, with
// everything one click away. Data in base64 is named by its size instead of being shown.

import { html, useState } from "../vendor/preact-htm-signals.js";
import { bytes } from "../fmt.js";
import { Markdown } from "../md.js";
import { remembered } from "../state.js";
import { CopyButton, Segments } from "./bits.js";
import { Code, colourJson, prettyJson } from "./code.js";

/** Longer texts are cut at first; a browser takes seconds to lay out a line of megabytes. */
export const SHOWN = 8_000;
/** At most this much is laid out even on demand; the rest is for copying. */
const LAID_OUT = 400_000;
const BASE64 = /^(?:data:([\w.+/-]+);base64,)?([A-Za-z0-9+/]{400,}={0,2})$/;

/** "auto" is text for what goes into a model and Markdown for what comes out. */
export const reading = remembered("reading", "auto");
/** @type {[string, string][]} */
const MODES = [["auto", "Auto"], ["text", "Text"], ["markdown", "Markdown"], ["raw", "Raw"]];

export function ReadingSwitch() {
  return html`<${Segments} label="How texts are shown" value=${reading.value} options=${MODES} onPick=${(/** @type {string} */ v) => (reading.value = v)} />`;
}

/** Size of base64 data and its type, or null. @param {string} text */
export function base64Of(text) {
  const head = text.length > 5000 ? text.slice(0, 5000) : text.trim();
  const m = BASE64.exec(head);
  return m ? { type: m[1] ?? "base64", size: Math.floor(text.length * 0.75) } : null;
}

/**
 * @param {{text: string, prefer?: "text"|"markdown", whole?: number, onWhole?: () => Promise<void>, json?: boolean}} props
 * `whole` is the size in bytes of a text that came cut; `onWhole` brings it
 */
export function Text({ text, prefer = "text", whole, onWhole, json = true }) {
  const [all, setAll] = useState(false);
  const [asked, setAsked] = useState(false);
  const data = base64Of(text);
  if (data) return html`<${Data} type=${data.type} size=${whole ? Math.floor(whole * 0.75) : data.size} text=${text} />`;
  const mode = reading.value === "auto" ? prefer : reading.value;
  const pretty = json && mode !== "raw" && !whole ? prettyJson(text) : null;
  const full = pretty ?? text;
  const shown = full.length > SHOWN && !all ? full.slice(0, SHOWN) : full.slice(0, LAID_OUT);
  const body = pretty ? html`<pre class="text json">${colourJson(shown)}</pre>`
    : mode === "markdown" ? html`<${Markdown} text=${shown} />`
      : html`<pre class="text">${shown}</pre>`;
  const more = async () => {
    setAll(true);
    if (whole && onWhole) {
      setAsked(true);
      await onWhole();
    }
  };
  return html`<div class="text-box">${body}
    ${(full.length > shown.length || whole) && !(all && full.length > LAID_OUT) && html`<button class="linklike more" onClick=${more} disabled=${asked}>${asked ? "Loading …" : `Show all, ${bytes(whole ?? full.length)}`}</button>`}
    ${all && full.length > LAID_OUT && html`<div class="muted more">Shown are the first ${bytes(LAID_OUT)} of ${bytes(full.length)}. <button class="linklike" onClick=${() => navigator.clipboard.writeText(full)}>Copy all</button></div>`}
  </div>`;
}

/** @param {{type: string, size: number, text: string}} props */
export function Data({ type, size, text }) {
  return html`<span class="data-chip"><span class="mono">${type}</span> <span class="muted">${bytes(size)}</span><${CopyButton} text=${text} label="Copy the data" /></span>`;
}

/** Any value: text as text, the rest as JSON. @param {{value: any, prefer?: "text"|"markdown"}} props */
export function Value({ value, prefer = "text" }) {
  if (typeof value === "string") return html`<${Text} text=${value} prefer=${prefer} />`;
  const text = JSON.stringify(value, null, 2) ?? "null";
  return html`<${Text} text=${text} />`;
}

export { Code };
