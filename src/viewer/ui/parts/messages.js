// @ts-check
// What went into a model and what came out, as a conversation: a colour per role, tool calls with the span they led to,
// reasoning folded, and on request only what is new since the call before.

import { html, useEffect, useState } from "../vendor/preact-htm-signals.js";
import { get, seg } from "../api.js";
import { count, plural } from "../fmt.js";
import { remembered } from "../state.js";
import { spansOfCalls } from "../tree.js";
import { CopyButton } from "./bits.js";
import { colourJson, prettyJson } from "./code.js";
import { Data, Text, Value, base64Of } from "./text.js";

/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../types.js").Part} Part */

/** So many messages are shown at once. */
const SHOWN = 40;
/** From this many on, what the model had seen before is folded. */
const FOLD_FROM = 3;
const onlyNew = remembered("only-new", true);
const ROLES = new Set(["system", "developer", "user", "assistant", "tool", "model", "function"]);

/** A message as text, for copying. @param {Message} message */
export function plainText(message) {
  return message.parts.map((part) => {
    if (part.type === "text" || part.type === "reasoning") return String(part.content ?? "");
    return JSON.stringify(part, null, 2);
  }).join("\n\n");
}

/**
 * @param {{span: import("../types.js").SpanBody, tree: import("../tree.js").Tree, index: number, onSelect: (i: number) => void,
 *   onWhole: () => Promise<void>}} props
 */
export function Conversation({ span, tree, index, onSelect, onWhole }) {
  const [delta, setDelta] = useState(/** @type {any} */ (null));
  const messages = span.messages ?? {};
  const input = messages.input ?? [];
  const instructions = messages.instructions ?? [];
  const output = messages.output ?? [];
  const long = input.length >= FOLD_FROM;

  useEffect(() => {
    setDelta(null);
    if (!long) return undefined;
    const control = new AbortController();
    get(`/spans/${seg(span.trace)}/${seg(span.id)}/delta`, {}, control.signal).then(setDelta, () => {});
    return () => control.abort();
  }, [span.id, long]);

  const known = long && delta?.previous ? Math.min(delta.same, input.length) : 0;
  const hidden = onlyNew.value && known > 0 ? known : 0;
  const previous = delta?.previous ? tree.spans.id.indexOf(delta.previous) : -1;
  const calls = output.flatMap((m) => m.parts.filter((p) => p.type === "tool_call"));
  const targets = spansOfCalls(tree, index, calls);
  const total = instructions.length + input.length;

  return html`
    <section><h3>Input <span class="muted">${plural(total, "message")}</span>
      ${known > 0 && html`<label class="check"><input type="checkbox" checked=${onlyNew.value} onChange=${() => (onlyNew.value = !onlyNew.value)} /> only new</label>`}</h3>
      ${!hidden && html`<${Messages} list=${instructions} prefer="text" onWhole=${onWhole} role="system" />`}
      ${hidden > 0 && html`<div class="folded">
        <button class="linklike" onClick=${() => (onlyNew.value = false)}>${plural(hidden + instructions.length, "message")} as in the call before</button>
        ${previous >= 0 && html`<button class="linklike" onClick=${() => onSelect(previous)}>go to that call</button>`}</div>`}
      <${Messages} list=${input.slice(hidden)} prefer="text" onWhole=${onWhole} role="user" />
    </section>
    ${output.length > 0 && html`<section><h3>Output ${(span.finish_reasons?.length ?? 0) > 0 && html`<span class="muted">${span.finish_reasons?.join(", ")}</span>`}</h3>
      <${Messages} list=${output} prefer="markdown" onWhole=${onWhole} role="assistant" targetOf=${(/** @type {Part} */ part) => targets[calls.indexOf(part)] ?? null} tree=${tree} onSelect=${onSelect} /></section>`}`;
}

/** @param {{list: Message[], prefer: "text"|"markdown", role: string, onWhole: () => Promise<void>, targetOf?: (p: Part) => number|null, tree?: any, onSelect?: (i: number) => void}} props */
export function Messages({ list, prefer, role, onWhole, targetOf, tree, onSelect }) {
  const [shown, setShown] = useState(SHOWN);
  return html`${list.slice(0, shown).map((message, k) => html`<${Bubble} key=${k} message=${message} fallback=${role} prefer=${prefer} onWhole=${onWhole} targetOf=${targetOf} tree=${tree} onSelect=${onSelect} />`)}
    ${list.length > shown && html`<button class="btn small" onClick=${() => setShown(shown + SHOWN * 5)}>${count(list.length - shown)} more messages</button>`}`;
}

/** @param {{message: Message, fallback: string, prefer: "text"|"markdown", onWhole: () => Promise<void>, targetOf?: (p: Part) => number|null, tree?: any, onSelect?: (i: number) => void}} props */
function Bubble({ message, fallback, prefer, onWhole, targetOf, tree, onSelect }) {
  const role = String(message.role ?? fallback);
  const side = role === "model" ? "assistant" : role === "developer" ? "system" : role === "function" ? "tool" : ROLES.has(role) ? role : "other";
  const parts = Array.isArray(message.parts) ? message.parts : [];
  return html`<div class=${`bubble role-${side}`}>
    <div class="bubble-head"><span class="role clip">${role}</span>${message.name && html`<span class="muted clip">${message.name}</span>`}<${CopyButton} text=${plainText({ ...message, parts })} label="Copy the message" /></div>
    ${parts.length === 0 && html`<span class="muted">empty</span>`}
    ${parts.map((part, k) => html`<${PartView} key=${k} part=${part} prefer=${side === "assistant" ? "markdown" : prefer} onWhole=${onWhole} target=${targetOf?.(part) ?? null} tree=${tree} onSelect=${onSelect} />`)}
  </div>`;
}

/** @param {{part: Part, prefer: "text"|"markdown", onWhole: () => Promise<void>, target: number|null, tree?: any, onSelect?: (i: number) => void}} props */
function PartView({ part, prefer, onWhole, target, tree, onSelect }) {
  if (part.type === "text") {
    return typeof part.content === "string" ? html`<${Text} text=${part.content} prefer=${prefer} whole=${part.whole} onWhole=${onWhole} />` : html`<${Value} value=${part.content} />`;
  }
  if (part.type === "reasoning") {
    return html`<details class="reasoning" open=${String(part.content ?? "").length < 400}><summary>reasoning</summary><${Value} value=${part.content ?? ""} prefer=${prefer} /></details>`;
  }
  if (part.type === "tool_call") return html`<${ToolCall} part=${part} target=${target} onSelect=${onSelect} />`;
  if (part.type === "tool_call_response") {
    return html`<div class="tool-result">${part.id && html`<span class="muted mono id">${part.id}</span>`}<${Value} value=${part.result ?? part.response ?? part.content ?? null} /></div>`;
  }
  const content = part.content ?? part.data ?? part.blob;
  const data = typeof content === "string" ? base64Of(content) : null;
  if (data) return html`<${Data} type=${String(part.mime_type ?? part.media_type ?? part.type)} size=${data.size} text=${content} />`;
  // An address is text: following it is the reader's decision, loading it would be ours.
  return html`<div class="part-other"><span class="muted">${part.type}</span><${Value} value=${part} /></div>`;
}

/** @param {{part: Part, target: number|null, onSelect?: (i: number) => void}} props */
function ToolCall({ part, target, onSelect }) {
  const args = part.arguments;
  const flat = oneLine(args);
  const pretty = flat === null ? prettyJson(args) ?? String(args ?? "") : null;
  return html`<div class="tool-call">
    <div class="tool-call-head"><span class="arrow" aria-hidden="true">→</span><b class="mono clip">${part.name ?? "tool"}</b>${flat !== null && html`<span class="mono args">(${flat})</span>`}
      <span class="grow"></span>${target !== null && onSelect && html`<button class="linklike jump" onClick=${() => onSelect(target)}>go to span</button>`}
      <${CopyButton} text=${typeof args === "string" ? args : JSON.stringify(args ?? null, null, 2)} label="Copy the arguments" /></div>
    ${pretty !== null && pretty !== "" && html`<pre class="text json">${colourJson(pretty.slice(0, 20_000))}</pre>`}
  </div>`;
}

/** Few short arguments on one line: worker="coder", task="run it". @param {any} args @returns {any} */
function oneLine(args) {
  let value = args;
  if (typeof args === "string") {
    try {
      value = JSON.parse(args);
    } catch {
      return null;
    }
  }
  if (!value || typeof value !== "object" || Array.isArray(value)) return null;
  const entries = Object.entries(value);
  const text = entries.map(([key, v]) => `${key}=${JSON.stringify(v)}`).join(", ");
  if (text.length > 110 || text.includes("\\n")) return null;
  return entries.map(([key, v], k) => html`${k ? ", " : ""}<span class="t-key">${key}</span>=<span class=${typeof v === "string" ? "t-str" : typeof v === "number" ? "t-num" : "t-word"}>${JSON.stringify(v)}</span>`);
}
