// @ts-check
// The way to the server: requests with the token, errors with their hint, and the live stream. The stream is read with
// fetch, not EventSource, because that can send neither the token nor where to resume from after the page was away.

const BASE = "/api/v1";
const TOKEN = "ironspan.token";
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 10_000;

/** An answer that is not the one asked for, with what the server says to do about it. */
export class ApiError extends Error {
  /** @param {number} status @param {{message?: string, hint?: string, at?: number}|undefined} error @param {any} [body] */
  constructor(status, error, body) {
    super(error?.message ?? (status ? `the server answered ${status}` : "the server cannot be reached"));
    this.status = status;
    this.hint = error?.hint ?? (status ? "" : "is `ironspan view` still running?");
    this.at = error?.at;
    this.candidates = /** @type {string[]} */ (body?.candidates ?? []);
  }
}

/** Take the token out of the address, so that it is neither in the history nor in a copied link. */
export function takeToken() {
  const found = /(?:^#|[?&])token=([^&]+)&?/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem(TOKEN, decodeURIComponent(found[1]));
  const rest = location.hash.replace(/([#?&])token=[^&]+&?/, "$1").replace(/[?&]$/, "");
  history.replaceState(null, "", rest === "#" || rest === "" ? "#/traces" : rest);
}

/** @returns {Record<string, string>} */
function headers() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** @param {string} path @param {Record<string, any>} [query] */
export function urlOf(path, query = {}) {
  const parts = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") parts.set(key, String(value));
  }
  const text = parts.toString();
  return `${BASE}${path}${text ? `?${text}` : ""}`;
}

/** @param {string} url @param {RequestInit} init @returns {Promise<Response>} */
async function request(url, init) {
  /** @type {Response} */
  let answer;
  try {
    answer = await fetch(url, { ...init, headers: { ...headers(), .../** @type {any} */ (init.headers) }, cache: "no-store" });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, undefined);
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => undefined);
  throw new ApiError(answer.status, { at: body?.at, ...body?.error }, body);
}

/** Answers on their way for whoever asks first, by address. @type {Map<string, Promise<any>>} */
const early = new Map();

/** Ask for what a page that is still being fetched will ask for. @param {string} path */
export function ahead(path) {
  const answer = get(path);
  // Told to the one who asks for it.
  answer.catch(() => {});
  early.set(urlOf(path), answer);
}

/** @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, query, signal) {
  const url = urlOf(path, query);
  const asked = early.get(url);
  early.delete(url);
  return asked ?? (await request(url, { signal })).json();
}

/** @param {"POST"|"DELETE"} method @param {string} path @param {any} [body] @returns {Promise<any>} */
export async function send(method, path, body) {
  const answer = await request(urlOf(path), {
    method,
    headers: { "Content-Type": "application/json", "X-Ironspan": "1" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/** Save what a path answers with as a file; a plain link could not send the token.
 * @param {string} path @param {Record<string, any>} query @param {string} name */
export async function download(path, query, name) {
  const blob = await (await request(urlOf(path, query), {})).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** One path segment. @param {string} text */
export const seg = (text) => encodeURIComponent(text);

/**
 * Follow the store. `on` is called for each event; the answer stops. The connection is given up while nobody looks at
 * the page, because a browser has six of them, and taken up where it was left.
 * @param {Record<string, any>} query
 * @param {(event: string, data: any) => void} on
 * @param {(state: "on"|"off"|"lost") => void} [state]
 * @returns {() => void}
 */
export function live(query, on, state = () => {}) {
  let last = "";
  let stopped = false;
  let wait = RETRY_FIRST_MS;
  let timer = 0;
  /** @type {AbortController|null} */
  let control = null;

  const connect = async () => {
    if (stopped || control || document.hidden) return;
    const mine = (control = new AbortController());
    try {
      const answer = await request(urlOf("/live", query), {
        signal: mine.signal,
        headers: { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) },
      });
      state("on");
      wait = RETRY_FIRST_MS;
      const reader = /** @type {any} */ (answer.body).pipeThrough(new TextDecoderStream()).getReader();
      const feed = eventParser((event, data, id) => {
        if (id) last = id;
        on(event, data);
      });
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        feed(value);
      }
    } catch (error) {
      // A filter that cannot be read stays so: asking again would only repeat it.
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) stopped = true;
    }
    if (control === mine) control = null;
    if (stopped || document.hidden) return state("off");
    state("lost");
    timer = window.setTimeout(connect, wait);
    wait = Math.min(wait * 2, RETRY_MOST_MS);
  };
  const look = () => {
    if (document.hidden) {
      const old = control;
      control = null;
      old?.abort();
    } else if (!control) {
      clearTimeout(timer);
      connect();
    }
  };
  document.addEventListener("visibilitychange", look);
  connect();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
    control?.abort();
  };
}

/**
 * Server-sent events out of pieces of text that end anywhere (HTML standard, "Interpreting an event stream").
 * @param {(event: string, data: any, id: string) => void} on @returns {(text: string) => void}
 */
export function eventParser(on) {
  let rest = "";
  let event = "";
  let id = "";
  /** @type {string[]} */
  let data = [];
  return (text) => {
    rest += text;
    for (;;) {
      const at = rest.indexOf("\n");
      if (at < 0) return;
      const line = rest.slice(0, at).replace(/\r$/, "");
      rest = rest.slice(at + 1);
      if (line === "") {
        if (data.length) {
          let value;
          try {
            value = JSON.parse(data.join("\n"));
          } catch {
            value = null;
          }
          if (value !== null) on(event || "message", value, id);
        }
        event = "";
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const content = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") event = content;
      else if (field === "data") data.push(content);
      else if (field === "id") id = content;
    }
  };
}
