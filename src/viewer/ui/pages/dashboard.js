// @ts-check
// How things go over a window: rate, errors, latency, time to the first token, tokens and money, together or per agent,
// model or tool. Every point leads to the traces behind it.

import { html, useEffect, useState } from "../vendor/preact-htm-signals.js";
import { get } from "../api.js";
import { duration, money, percent, short, toMs, toNs } from "../fmt.js";
import { go, href, remembered, route, setQuery } from "../state.js";
import { Chart } from "../parts/chart.js";
import { Problem, Segments, WINDOWS, windowSeconds } from "../parts/bits.js";
import { quoted } from "../parts/filterbar.js";

/** @typedef {import("../types.js").Series} Series */

const POINTS = 60;
/** More lines than this cannot be told apart; those with the most spans stay. */
const LINES = 6;
const COLOURS = ["--k-generation", "--k-agent", "--k-tool", "--k-embedding", "--k-evaluator", "--k-guardrail"];
/** Steps that fall on round times. */
const STEPS = [1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
const METRICS = ["count", "errors", "latency", "first_chunk", "tokens", "cost"];
/** @type {[string, string][]} */
const BY = [["none", "All"], ["agent", "by agent"], ["model", "by model"], ["tool", "by tool"]];
const logScale = remembered("log-scale", false);

export default function Dashboard() {
  const { since = "24h", until = "", by = "none", q = "" } = route.value.query;
  const [data, setData] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [again, setAgain] = useState(0);
  const custom = /^\d+$/.test(since);
  const seconds = custom ? (toMs(until || toNs(Date.now())) - toMs(since)) / 1000 : windowSeconds(since);
  const step = STEPS.find((s) => seconds / s <= POINTS) ?? 86400;

  useEffect(() => {
    document.title = "Dashboard · ironspan";
    const control = new AbortController();
    Promise.all(METRICS.map((metric) => get("/metrics/series", { metric, by, since, until, step, q }, control.signal))).then(
      (answers) => {
        setData({ at: Date.now(), ...Object.fromEntries(METRICS.map((metric, k) => [metric, answers[k]])) });
        setError(null);
      },
      (problem) => !control.signal.aborted && setError(problem),
    );
    return () => control.abort();
  }, [since, until, by, q, step, again]);
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && !until && setAgain((n) => n + 1), 30_000);
    return () => clearInterval(timer);
  }, [until]);

  const charts = data ? chartsOf(data, by, until ? toMs(until) : data.at) : [];
  const point = (/** @type {number[]} */ times, /** @type {number} */ k, /** @type {string} */ sort) => {
    const from = times[k];
    go(href(["traces"], { q, since: toNs(from), until: toNs(from + /** @type {Record<string, Series>} */ (data).count.step / 1e6), sort }));
  };
  return html`<div class="page"><div class="title"><h1>Dashboard</h1><${Segments} label="Window of time" value=${custom ? "" : since} options=${WINDOWS} onPick=${(/** @type {string} */ v) => setQuery({ since: v, until: "" })} />
      ${custom && html`<button class="btn small" onClick=${() => setQuery({ since: "", until: "" })}>Back to 24 h</button>`}
      <${Segments} label="Lines" value=${by} options=${BY} onPick=${(/** @type {string} */ v) => setQuery({ by: v === "none" ? "" : v })} />
      ${q && html`<span class="badge plain clip">${q}</span>`}
      <label class="check"><input type="checkbox" checked=${logScale.value} onChange=${() => (logScale.value = !logScale.value)} /> log scale</label></div>
    ${error && html`<${Problem} error=${error} retry=${() => setAgain(again + 1)} />`}
    ${!data && !error && html`<div class="loading">Loading …</div>`}
    <div class="charts">${charts.map((c) => html`<${Chart} key=${c.title} title=${c.title} note=${c.note} times=${c.times} lines=${c.lines} show=${c.show} about=${c.about} log=${c.log && logScale.value}
      onPoint=${(/** @type {number} */ k) => point(c.times, k, c.sort)} onZoom=${(/** @type {number} */ a, /** @type {number} */ b) => setQuery({ since: toNs(a), until: toNs(b) })} />`)}</div>
    ${data && by !== "none" && html`<p class="muted note">${BY.find(([id]) => id === by)?.[1]}: the ${LINES} with the most spans. ${keysOf(data.count).map((key) => html`<a key=${key} class="key-link" href=${href(["traces"], { q: `${by === "tool" ? "name" : by}:${quoted(key)}`, since: custom ? "" : since })}>${key || "(none)"}</a> `)}</p>`}
  </div>`;
}

/** @param {Series} series */
function keysOf(series) {
  return [...series.series].sort((a, b) => total(b) - total(a)).slice(0, LINES).map((s) => s.key);
}

/** @param {Series["series"][number]} s */
function total(s) {
  return s.points.reduce((sum, [, , n]) => sum + n, 0);
}

/** The columns of a chart. `zero` is the value of a bucket without spans: 0 for what is counted, a gap for the rest.
 * @param {Series} series @param {number} n @param {string} key @param {(v: any, count: number) => number|null} value @param {number|null} zero */
function column(series, n, key, value, zero) {
  const out = /** @type {(number|null)[]} */ (new Array(n).fill(zero));
  for (const [at, v, count] of series.series.find((s) => s.key === key)?.points ?? []) if (at >= 0 && at < n) out[at] = value(v, count);
  return out;
}

/** @param {Record<string, Series>} data @param {string} by @param {number} endMs */
function chartsOf(data, by, endMs) {
  const { step, start } = data.count;
  // Buckets begin at multiples of the step, so the first may begin before the window.
  const n = Math.max(1, Math.ceil(((endMs - toMs(start)) * 1e6) / step));
  const times = Array.from({ length: n }, (_, k) => toMs(start) + (k * step) / 1e6);
  const per = step / 60e9;
  const all = by === "none" ? [data.count.series[0]?.key ?? ""] : keysOf(data.count);
  const name = (/** @type {string} */ key) => (by === "none" ? "" : key || "(none)");
  const plain = (/** @type {any} */ v) => v;
  /** @param {string} metric @param {(v: any, count: number) => number|null} value @param {number|null} zero @param {string} single */
  const lines = (metric, value, zero, single) => all.map((key, k) => ({ label: name(key) || single, colour: COLOURS[k], values: column(data[metric], n, by === "none" ? data[metric].series[0]?.key ?? "" : key, value, zero), fill: by === "none" }));
  const about = (/** @type {string} */ metric) => (data[metric].sketched ? "≈" : "");
  /** @param {string} metric */
  const quantiles = (metric) => {
    if (by !== "none") return lines(metric, (v) => v.p95, null, "p95");
    const key = data[metric].series[0]?.key ?? "";
    return [["p50", "--k-agent"], ["p95", "--k-generation"], ["p99", "--k-tool"]].map(([p, c]) => ({ label: p, colour: c, values: column(data[metric], n, key, (v) => v[p], null) }));
  };
  const counts = new Map(all.map((key) => [key, column(data.count, n, by === "none" ? data.count.series[0]?.key ?? "" : key, plain, 0)]));
  const errorRate = all.map((key, k) => {
    const failed = column(data.errors, n, by === "none" ? data.errors.series[0]?.key ?? "" : key, plain, 0);
    const of = /** @type {(number|null)[]} */ (counts.get(key));
    return { label: name(key) || "error rate", colour: by === "none" ? "--bad" : COLOURS[k], values: failed.map((v, i) => (of[i] ? Math.min(1, (v ?? 0) / /** @type {number} */ (of[i])) : null)), fill: by === "none" };
  });
  return [
    { title: by === "none" ? "Traces per minute" : "Calls per minute", note: "", about: "", times, lines: lines("count", (v) => v / per, 0, "rate").map((l) => ({ ...l, bars: by === "none" })), show: rate, log: false, sort: "" },
    { title: "Error rate", note: "", about: "", times, lines: errorRate, show: percent, log: false, sort: "errors" },
    { title: by === "none" ? "Duration" : "Duration, p95", note: about("latency"), about: about("latency"), times, lines: quantiles("latency"), show: duration, log: true, sort: "duration" },
    { title: by === "none" ? "Time to first token" : "Time to first token, p95", note: about("first_chunk"), about: about("first_chunk"), times, lines: quantiles("first_chunk"), show: duration, log: true, sort: "duration" },
    { title: "Tokens", note: stepName(step), about: "", times, lines: lines("tokens", plain, 0, "tokens").map((l) => ({ ...l, bars: by === "none" })), show: short, log: false, sort: "tokens" },
    { title: "Cost", note: stepName(step), about: "", times, lines: lines("cost", plain, 0, "cost").map((l) => ({ ...l, bars: by === "none" })), show: (/** @type {number|null} */ v) => (v === null ? "–" : money(v)), log: false, sort: "cost" },
  ];
}

/** @param {number|null} v */
function rate(v) {
  if (v === null) return "–";
  return v === 0 || v >= 100 ? String(Math.round(v)) : v.toPrecision(2);
}

/** @param {number} step nanoseconds */
function stepName(step) {
  return `per ${duration(step).replace(/ 00 [ms]$/, "").replace(".00", "").replace(".0", "")}`;
}
