// @ts-check
// The frame: navigation, which page the address asks for, theme, help, and the keys that work everywhere. Pages are
// fetched when they are first asked for, so that the list of traces does not wait for charts.

import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact-htm-signals.js";
import { get } from "./api.js";
import { bytes, count, short } from "./fmt.js";
import { following, go, notice, onKeys, route, setTheme, store, stream, theme } from "./state.js";
import { Problem } from "./parts/bits.js";

/** @type {Record<string, () => Promise<any>>} */
const PAGES = {
  traces: () => import("./pages/traces.js"),
  t: () => import("./pages/trace.js"),
  sessions: () => import("./pages/sessions.js"),
  agents: () => import("./pages/agents.js"),
  dashboard: () => import("./pages/dashboard.js"),
  errors: () => import("./pages/errors.js"),
  scores: () => import("./pages/scores.js"),
  compare: () => import("./pages/compare.js"),
};
const NAV = [["traces", "Traces"], ["sessions", "Sessions"], ["agents", "Agents"], ["dashboard", "Dashboard"], ["errors", "Errors"], ["scores", "Scores"]];

/** @type {[string, string][]} */
const KEYS = [
  ["j  k", "next, previous row"], ["Enter", "open"], ["x", "choose a trace for comparing"], ["/", "find"],
  ["f", "filter"], ["e", "next error"], ["c", "critical path on or off"], ["[  ]", "newer, older trace"],
  ["← →", "close, open a row"], ["g t", "traces"], ["g s", "sessions"], ["g a", "agents (of the trace, on a trace)"],
  ["g d", "dashboard"], ["g e", "errors"], [".", "pause, go on"], ["?", "this list"],
];

function Help({ onClose = () => {} }) {
  const box = useRef(/** @type {HTMLDialogElement|null} */ (null));
  useEffect(() => box.current?.showModal(), []);
  return html`<dialog class="sheet" ref=${box} onClose=${onClose} onClick=${(/** @type {Event} */ e) => e.target === box.current && onClose()}>
    <div class="row"><h1 class="grow">Keys</h1><button class="btn small" onClick=${onClose}>Close</button></div>
    <div class="keys">${KEYS.map(([keys, what]) => html`<span>${keys.split(/\s+/).map((key, k) => html`${k ? " " : ""}<kbd>${key}</kbd>`)}</span><span>${what}</span>`)}</div>
  </dialog>`;
}

function LiveButton() {
  // On pages that show a window of the past there is nothing to follow.
  if (stream.value === "off" && following.value) return null;
  const on = following.value;
  const state = on ? stream.value : "paused";
  /** @type {Record<string, string>} */
  const words = { on: "live", off: "live", lost: "reconnecting", paused: "paused" };
  return html`<button class=${`btn small quiet live-${state}`} title=${on ? "New traces appear as they come. Pause: ." : "Paused. Go on: ."}
    aria-pressed=${on} onClick=${() => (following.value = !on)}>
    <span class="live-dot"></span><span class="live-word">${words[state]}</span></button>`;
}

function ThemeButton() {
  const next = { auto: "light", light: "dark", dark: "auto" }[theme.value] ?? "auto";
  /** @type {Record<string, string>} */
  const icon = {
    auto: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 0v12", light: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.1 1.1M11.9 11.9 13 13M3 13l1.1-1.1M11.9 4.1 13 3",
    dark: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7Z",
  };
  return html`<button class="btn-icon quiet" title=${`Colours: ${theme.value}. Change to ${next}`} aria-label=${`Colours: ${theme.value}. Change to ${next}`}
    onClick=${() => setTheme(next)}><svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round" aria-hidden="true">
    <path d=${icon[theme.value]} />${theme.value === "auto" && html`<path d="M8 2a6 6 0 0 1 0 12Z" fill="currentColor" />`}</svg></button>`;
}

function Top({ onHelp = () => {} }) {
  const page = route.value.page === "t" || route.value.page === "compare" ? "traces" : route.value.page;
  const at = store.value;
  const links = useRef(/** @type {HTMLElement|null} */ (null));
  // On a phone the links do not fit: the one of this page is brought into sight.
  useEffect(() => links.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [page]);
  return html`<header class="top">
    <a class="brand" href="#/traces" aria-label="ironspan: traces"><svg viewBox="0 0 32 32" aria-hidden="true"><rect x="2" y="5" width="28" height="6" rx="3" fill="var(--accent)" /><rect x="2" y="13" width="15" height="6" rx="3" fill="var(--k-agent)" /><rect x="12" y="21" width="18" height="6" rx="3" fill="var(--k-tool)" /></svg><span>ironspan</span></a>
    <nav aria-label="Pages" ref=${links}>${NAV.map(([id, name]) => html`<a key=${id} href=${`#/${id}`} aria-current=${id === page ? "page" : undefined}>${name}</a>`)}</nav>
    <span class="where" title=${at ? `${at.path}\n${count(at.spans)} spans` : ""}>${at ? `${tail(at.path)} · ${bytes(at.bytes)} · ${short(at.traces)} traces` : ""}</span>
    <div class="row right"><${LiveButton} /><${ThemeButton} />
      <button class="btn-icon quiet help" title="Keys: ?" aria-label="Keys" onClick=${onHelp}>?</button></div>
  </header>`;
}

/** The last two parts of a path. @param {string} path */
function tail(path) {
  return path.split(/[\\/]/).slice(-2).join("/");
}

function App() {
  const [help, setHelp] = useState(false);
  const [loaded, setLoaded] = useState(/** @type {{name: string, page: any}|null} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const name = route.value.page in PAGES ? route.value.page : "traces";

  // Before the empty frame is painted, not after it.
  useLayoutEffect(() => {
    let wanted = true;
    stream.value = "off";
    PAGES[name]().then((module) => wanted && (setLoaded({ name, page: module.default }), setProblem(null)), (error) => wanted && setProblem(error));
    return () => {
      wanted = false;
    };
  }, [name]);

  useEffect(() => {
    const ask = () => get("/status").then((status) => (store.value = status), () => {});
    ask();
    const timer = setInterval(() => !document.hidden && ask(), 15_000);
    const off = onKeys({
      "?": () => setHelp(true),
      ".": () => (following.value = !following.value),
      "g t": () => go("#/traces"),
      "g s": () => go("#/sessions"),
      "g a": () => go("#/agents"),
      "g d": () => go("#/dashboard"),
      "g e": () => go("#/errors"),
    });
    return () => {
      clearInterval(timer);
      off();
    };
  }, []);

  return html`<${Top} onHelp=${() => setHelp(true)} />
    <main>${problem ? html`<${Problem} error=${problem} />` : loaded?.name === name && html`<${loaded.page} key=${name} />`}</main>
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}
    <div role="status" aria-live="polite">${notice.value && html`<div class="toast">${notice.value}</div>`}</div>`;
}

render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
