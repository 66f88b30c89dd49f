// @ts-check
// What all pages share: where we are (the address after #), choices that are remembered in this browser, the theme,
// and who listens to the keyboard. The address is the truth for everything that somebody could want to send on.

import { signal } from "./vendor/preact-htm-signals.js";

/** @typedef {{page: string, path: string[], query: Record<string, string>}} Route */

/** @param {string} hash @returns {Route} */
export function parseHash(hash) {
  const text = hash.replace(/^#\/?/, "");
  const mark = text.indexOf("?");
  const path = (mark < 0 ? text : text.slice(0, mark)).split("/").filter(Boolean).map(decode);
  /** @type {Record<string, string>} */
  const query = {};
  if (mark >= 0) for (const [key, value] of new URLSearchParams(text.slice(mark + 1))) query[key] = value;
  return { page: path[0] ?? "traces", path: path.slice(1), query };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a page. Empty values are left out. @param {string[]} path @param {Record<string, any>} [query] */
export function href(path, query = {}) {
  const parts = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "" && value !== false) parts.set(key, String(value));
  }
  const text = parts.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export const route = signal(parseHash(location.hash));

/** @param {string} to @param {boolean} [replace] without an entry in the history, for what changes with every key */
export function go(to, replace = false) {
  if (replace) {
    history.replaceState(null, "", to);
    route.value = parseHash(to);
  } else if (location.hash !== to) location.hash = to;
}

/** Change parts of the query of the present page. @param {Record<string, any>} changes @param {boolean} [replace] */
export function setQuery(changes, replace = false) {
  const { page, path, query } = route.value;
  go(href([page, ...path], { ...query, ...changes }), replace);
}

window.addEventListener("hashchange", () => (route.value = parseHash(location.hash)));

/** A choice that is remembered in this browser; where storage is refused it lasts as long as the page.
 * @template T @param {string} name @param {T} initial @returns {{value: T}} */
export function remembered(name, initial) {
  let start = initial;
  try {
    const kept = localStorage.getItem(`ironspan.${name}`);
    if (kept !== null) start = JSON.parse(kept);
  } catch {
    start = initial;
  }
  const held = signal(start);
  return {
    get value() {
      return held.value;
    },
    set value(next) {
      held.value = next;
      try {
        localStorage.setItem(`ironspan.${name}`, JSON.stringify(next));
      } catch {
        // Remembered for this page only.
      }
    },
  };
}

export const theme = remembered("theme", "auto");
/** Counts changes of colours, for what is painted on a canvas. */
export const paint = signal(0);

/** @param {string} next "auto", "light" or "dark" */
export function setTheme(next) {
  theme.value = next;
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  colours.clear();
  paint.value++;
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colours.clear();
  paint.value++;
});

/** @type {Map<string, string>} */
const colours = new Map();

/** What a colour variable of app.css is now, for a canvas. @param {string} name */
export function colour(name) {
  const known = colours.get(name);
  if (known) return known;
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  colours.set(name, value);
  return value;
}

/** Whether lists follow the store. */
export const following = signal(true);
/** "on", "off" or "lost": how the live stream stands. */
export const stream = signal("off");
/** @type {import("./vendor/preact-htm-signals.js").Signal<import("./types.js").StoreStatus|null>} */
export const store = signal(null);
/** A short message at the foot of the page. */
export const notice = signal("");

let noticeTimer = 0;
/** @param {string} text */
export function tell(text) {
  notice.value = text;
  clearTimeout(noticeTimer);
  noticeTimer = window.setTimeout(() => (notice.value = ""), 2500);
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    tell("Copied");
  } catch {
    tell("The browser did not allow copying");
  }
}

/** The traces of the list that was shown last, for going to the next one. @type {string[]} */
export const neighbours = [];

/** @type {{keys: Record<string, (event: KeyboardEvent) => void>}[]} */
const layers = [];

/** Listen to keys until the answer is called; what came last is asked first.
 * Called from a layout effect: an effect that waits for the paint leaves the second of two quick keys to the old state.
 * @param {Record<string, (event: KeyboardEvent) => void>} keys */
export function onKeys(keys) {
  const layer = { keys };
  layers.push(layer);
  return () => layers.splice(layers.indexOf(layer), 1);
}

let prefix = "";
let prefixTimer = 0;

window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = /** @type {HTMLElement} */ (event.target);
  const typing = target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (typing && event.key !== "Escape") return;
  // An open dialog has the keys.
  if (document.querySelector("dialog[open]")) return;
  // Enter and space belong to what has the focus.
  if ((event.key === "Enter" || event.key === " ") && target.matches("button, a, summary, [role=button]")) return;
  const key = prefix ? `${prefix} ${event.key}` : event.key;
  prefix = "";
  if (event.key === "g" && key === "g") {
    prefix = "g";
    clearTimeout(prefixTimer);
    prefixTimer = window.setTimeout(() => (prefix = ""), 1200);
    return;
  }
  for (let k = layers.length - 1; k >= 0; k--) {
    const act = layers[k].keys[key];
    if (!act) continue;
    event.preventDefault();
    act(event);
    return;
  }
});
