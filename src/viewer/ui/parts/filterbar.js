// @ts-check
// The line in which traces are filtered, with completion of fields and of values from the store. What cannot be read is
// marked where the server says it stopped.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact-htm-signals.js";
import { get } from "../api.js";
import { count } from "../fmt.js";
import { onKeys } from "../state.js";

/** @type {[string, string][]} field, what it asks */
const FIELDS = [
  ["agent", "an agent took part"], ["status", "ok, error, running, cancelled, interrupted, lost"], ["errors", "any, none, recovered"],
  ["model", "a model was called"], ["name", "name of the trace or a span"], ["kind", "generation, tool, agent, retrieval …"],
  ["dur", "duration: >5s, <200ms"], ["cost", "in dollars: >0.01"], ["tokens", "input and output: >1000"],
  ["session", "conversation"], ["user", "who asked"], ["tag", "a tag"], ["score", "score.NAME:<0.5"], ["env", "environment"],
  ["service", "service"], ["id", "the trace's id begins with"],
];
/** @type {Record<string, string[]>} */
const WORDS = {
  status: ["ok", "error", "running", "cancelled", "interrupted", "abandoned", "lost"],
  errors: ["any", "none", "recovered"],
  kind: ["workflow", "agent", "generation", "tool", "retrieval", "embedding", "rerank", "evaluator", "guardrail", "span"],
};
const ASKED = new Set(["agent", "model", "name", "session", "user", "tag", "env", "service", "tool"]);
const OFFERED = 12;

/** A value as the filter wants it. @param {string} value */
export function quoted(value) {
  return /[\s",:()]/.test(value) || value === "" ? `"${value.replaceAll('"', " ")}"` : value;
}

/** The word at the cursor. @param {string} text @param {number} at */
export function wordAt(text, at) {
  let from = 0;
  let inside = false;
  for (let k = 0; k < at; k++) {
    if (text[k] === '"') inside = !inside;
    else if (text[k] === " " && !inside) from = k + 1;
  }
  return { from, word: text.slice(from, at) };
}

/**
 * @typedef {{text: string, note: string, insert: string}} Offer
 * @param {{value: string, error: any, onChange: (q: string) => void}} props
 */
export function FilterBar({ value, error, onChange }) {
  const [text, setText] = useState(value);
  const [offers, setOffers] = useState(/** @type {Offer[]} */ ([]));
  const [chosen, setChosen] = useState(-1);
  const input = useRef(/** @type {HTMLInputElement|null} */ (null));
  const asking = useRef(/** @type {AbortController|null} */ (null));
  // Who only passes through with the tabulator must not change the filter.
  const typed = useRef(false);

  useEffect(() => setText(value), [value]);
  useLayoutEffect(() => onKeys({ "/": () => input.current?.focus(), f: () => input.current?.focus() }), []);

  const offer = async () => {
    const el = input.current;
    if (!el) return;
    asking.current?.abort();
    const { word } = wordAt(el.value, el.selectionStart ?? el.value.length);
    const lead = /^-?(?:root\.)?/.exec(word)?.[0] ?? "";
    const bare = word.slice(lead.length);
    const colon = bare.indexOf(":");
    setChosen(-1);
    if (colon < 0) {
      setOffers(FIELDS.filter(([field]) => field.startsWith(bare.toLowerCase()) && !(bare === field))
        .map(([field, note]) => ({ text: `${field}:`, note, insert: `${lead}${field}${field === "score" ? "." : ":"}` })));
      return;
    }
    const field = bare.slice(0, colon);
    const part = bare.slice(colon + 1).replace(/^"/, "").split(",").at(-1) ?? "";
    const before = `${lead}${field}:${bare.slice(colon + 1).split(",").slice(0, -1).map((v) => v + ",").join("")}`;
    const fixed = WORDS[field];
    if (fixed) {
      setOffers(fixed.filter((w) => w.startsWith(part) && w !== part).map((w) => ({ text: w, note: "", insert: before + w })));
    } else if (ASKED.has(field)) {
      const control = (asking.current = new AbortController());
      try {
        const answer = await get("/facets", { field, prefix: part }, control.signal);
        setOffers(answer.values.slice(0, OFFERED).map((/** @type {[string, number]} */ [v, n]) => ({ text: v, note: count(n), insert: before + quoted(v) })));
      } catch {
        if (!control.signal.aborted) setOffers([]);
      }
    } else setOffers([]);
  };

  /** @param {Offer} pick */
  const take = (pick) => {
    const el = /** @type {HTMLInputElement} */ (input.current);
    const at = el.selectionStart ?? el.value.length;
    const { from } = wordAt(el.value, at);
    const open = /[:.]$/.test(pick.insert);
    const next = el.value.slice(0, from) + pick.insert + (open ? "" : " ") + el.value.slice(at).trimStart();
    setText(next);
    el.value = next;
    const place = from + pick.insert.length + (open ? 0 : 1);
    el.setSelectionRange(place, place);
    el.focus();
    if (open) offer();
    else {
      setOffers([]);
      onChange(next.trim());
    }
  };
  const close = () => {
    setOffers([]);
    setChosen(-1);
  };
  /** @param {KeyboardEvent} e */
  const key = (e) => {
    if (e.key === "ArrowDown" && offers.length) setChosen((chosen + 1) % offers.length);
    else if (e.key === "ArrowUp" && offers.length) setChosen((chosen + offers.length - 1) % offers.length);
    else if (e.key === "Tab" && offers.length && !e.shiftKey && text.trim() && (typed.current || chosen >= 0)) take(offers[Math.max(0, chosen)]);
    else if (e.key === "Enter") {
      if (chosen >= 0 && offers[chosen]) take(offers[chosen]);
      else {
        close();
        onChange(text.trim());
      }
    } else if (e.key === "Escape") {
      if (offers.length) close();
      else input.current?.blur();
    } else return;
    e.preventDefault();
    e.stopPropagation();
  };

  return html`<div class="filter" role="search">
    <svg class="filter-icon" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" aria-hidden="true"><path d="M2 3.5h12M4.5 8h7M7 12.5h2" stroke-linecap="round" /></svg>
    <input class="field" ref=${input} type="text" value=${text} spellcheck=${false} autocomplete="off" autocapitalize="off"
      placeholder="Filter: agent:coder errors:recovered dur:>5s cost:>0.01 …" aria-label="Filter" role="combobox" aria-expanded=${offers.length > 0}
      aria-controls="filter-offers" aria-invalid=${error?.at !== undefined}
      onInput=${(/** @type {any} */ e) => {
        typed.current = true;
        setText(e.target.value);
        offer();
      }} onFocus=${() => {
        typed.current = false;
        offer();
      }} onClick=${offer} onBlur=${() => setTimeout(close, 150)} onKeyDown=${key} />
    ${text && html`<button class="filter-clear" aria-label="Clear the filter" onClick=${() => {
      setText("");
      onChange("");
    }}>×</button>`}
    ${offers.length > 0 && html`<ul class="offers" id="filter-offers" role="listbox">${offers.map((o, k) => html`<li key=${o.insert} role="option" aria-selected=${k === chosen}
      onMouseDown=${(/** @type {Event} */ e) => {
        e.preventDefault();
        take(o);
      }}><span class="mono clip">${o.text}</span><span class="muted clip">${o.note}</span></li>`)}</ul>`}
    ${error?.status === 400 && html`<div class="filter-error" role="alert">
      ${error.at !== undefined && html`<span class="mono">${value.slice(0, error.at)}<mark>${value.slice(error.at) || "…"}</mark></span> `}
      ${error.message}${error.hint ? html`<span class="muted"> ${error.hint}</span>` : ""}</div>`}
  </div>`;
}
