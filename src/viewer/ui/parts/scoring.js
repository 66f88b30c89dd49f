// @ts-check
// Judging a trace or a span: thumbs, a number or a word with a comment, and what others said.

import { html, useState } from "../vendor/preact-htm-signals.js";
import { send } from "../api.js";
import { ago, digits3, when } from "../fmt.js";
import { remembered, tell } from "../state.js";

/** @typedef {import("../types.js").Score} Score */

/** The name under which thumbs are stored; 1 is up, 0 is down. */
export const THUMB = "helpful";
const lastName = remembered("score-name", "quality");

/** @param {Score} score @returns {string} */
export function scoreText(score) {
  if (score.label) return score.value === null || score.value === undefined ? score.label : `${score.label} (${digits3(score.value)})`;
  if (score.name === THUMB && (score.value === 1 || score.value === 0)) return score.value ? "yes" : "no";
  return score.value === null || score.value === undefined ? "–" : digits3(score.value);
}

/** @param {{trace: string, span?: string, name: string, value?: number, label?: string, comment?: string}} score */
async function store(score) {
  try {
    await send("POST", "/scores", score);
    return true;
  } catch (error) {
    tell(/** @type {Error} */ (error).message);
    return false;
  }
}

/** @param {{trace: string, span?: string, scores: Score[], onChange: () => void}} props */
export function Thumbs({ trace, span = "", scores, onChange }) {
  const mine = scores.find((s) => s.name === THUMB && s.source === "user" && (s.span ?? "") === span);
  /** @param {number} value */
  const press = async (value) => {
    // A list of traces does not know the ids of their scores: there a second press does nothing.
    if (mine?.value === value && mine.id < 0) return;
    const done = mine?.value === value ? await remove(mine) : await store({ trace, ...(span ? { span } : {}), name: THUMB, value });
    if (done) onChange();
  };
  const hand = "M5 14.5H2.5v-7H5m0 7V7.5L8 1.8c1 0 1.7.8 1.5 1.9L9 6.5h4.3c.8 0 1.4.8 1.2 1.6l-1.2 5c-.2.8-.8 1.4-1.6 1.4Z";
  const icon = html`<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.3" stroke-linejoin="round" aria-hidden="true"><path d=${hand} /></svg>`;
  return html`<span class="thumbs"><button class="btn-icon" aria-pressed=${mine?.value === 1} title="Good" aria-label="Good" onClick=${() => press(1)}>${icon}</button>
    <button class="btn-icon down" aria-pressed=${mine?.value === 0} title="Bad" aria-label="Bad" onClick=${() => press(0)}>${icon}</button></span>`;
}

/** @param {Score} score */
async function remove(score) {
  try {
    await send("DELETE", `/scores/${score.id}`);
    return true;
  } catch (error) {
    tell(/** @type {Error} */ (error).message);
    return false;
  }
}

/** @param {{trace: string, span?: string, onChange: () => void}} props */
export function ScoreForm({ trace, span = "", onChange }) {
  const [value, setValue] = useState("");
  const [comment, setComment] = useState("");
  const submit = async () => {
    const text = value.trim();
    if (!text || !lastName.value.trim()) return tell("A score needs a name and a number or a word");
    const number = Number(text.replace(",", "."));
    const judged = Number.isFinite(number) ? { value: number } : { label: text };
    const done = await store({ trace, ...(span ? { span } : {}), name: lastName.value.trim(), ...judged, ...(comment.trim() ? { comment: comment.trim() } : {}) });
    if (!done) return undefined;
    setValue("");
    setComment("");
    tell("Score stored");
    return onChange();
  };
  /** @param {KeyboardEvent} e */
  const key = (e) => {
    if (e.key === "Enter" && !e.shiftKey) {
      e.preventDefault();
      submit();
    }
  };
  return html`<div class="score-form">
    <input class="field" aria-label="Name of the score" placeholder="name" value=${lastName.value} onInput=${(/** @type {any} */ e) => (lastName.value = e.target.value)} onKeyDown=${key} />
    <input class="field" aria-label="Number or word" placeholder="0.8, good" value=${value} onInput=${(/** @type {any} */ e) => setValue(e.target.value)} onKeyDown=${key} />
    <input class="field comment" aria-label="Comment" placeholder="comment" value=${comment} onInput=${(/** @type {any} */ e) => setComment(e.target.value)} onKeyDown=${key} />
    <button class="btn" onClick=${submit}>Add score</button>
  </div>`;
}

/** @param {{scores: Score[], onChange: () => void}} props */
export function ScoreList({ scores, onChange }) {
  return html`<ul class="scores">${scores.map((s) => html`<li key=${s.id}>
    <b>${s.name}</b><span class="score-value">${scoreText(s)}</span><span class="muted">${s.source}${s.author && s.author !== s.source ? ` · ${s.author}` : ""}</span>
    <span class="clip grow" title=${s.comment ?? ""}>${s.comment ?? ""}</span><span class="muted" title=${when(s.time)}>${ago(s.time)}</span>
    ${s.source === "user" && html`<button class="btn-icon quiet" title="Remove" aria-label=${`Remove the score ${s.name}`} onClick=${async () => (await remove(s)) && onChange()}>×</button>`}
  </li>`)}</ul>`;
}
