// @ts-check
// How figures are written, everywhere the same: durations with three significant digits, money with as many digits as
// it takes to tell two spans apart, "?" for what is not known. Pure functions, tested by tests/viewer.

const US = 1e3;
const MS = 1e6;
const S = 1e9;

/** Three significant digits without an exponent: 9.42, 61.3, 980. @param {number} value */
export function digits3(value) {
  const size = Math.abs(value);
  if (size >= 99.95) return String(Math.round(value));
  return value.toFixed(size >= 9.995 ? 1 : 2);
}

/** A duration in nanoseconds. @param {number|null|undefined} ns @returns {string} */
export function duration(ns) {
  if (ns === null || ns === undefined || Number.isNaN(ns)) return "–";
  if (ns < 0) return "−" + duration(-ns);
  if (ns === 0) return "0 s";
  // The limits lie where rounding to three digits would spill into the next unit.
  if (ns < 999.5) return `${Math.round(ns)} ns`;
  if (ns < 999.5 * US) return `${digits3(ns / US)} µs`;
  if (ns < 999.5 * MS) return `${digits3(ns / MS)} ms`;
  if (ns < 59.95 * S) return `${digits3(ns / S)} s`;
  const seconds = Math.round(ns / S);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} m`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** @param {number} n */
function two(n) {
  return String(n).padStart(2, "0");
}

/** US dollars; "?" where no price is known. @param {number|null|undefined} usd @returns {string} */
export function money(usd) {
  if (usd === null || usd === undefined || Number.isNaN(usd)) return "?";
  if (usd < 0) return "−" + money(-usd);
  if (usd === 0) return "$0";
  if (usd >= 1000) return "$" + separated(usd);
  if (usd >= 0.995) return "$" + usd.toFixed(2);
  // Three significant digits; below a millionth of a dollar the digits say nothing.
  if (usd < 1e-6) return "<$0.000001";
  // Five places tell calls apart; smaller sums need the places to be more than 0.
  const places = Math.min(usd >= 1e-4 ? 5 : 7, 2 - Math.floor(Math.log10(usd)));
  return "$" + usd.toFixed(places);
}

/** Thousands apart. What the browser has for it loads its locales first, which takes longer than painting the page.
 * @param {number} n */
function separated(n) {
  const digits = String(Math.round(n));
  return digits.length < 4 ? digits : digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A count with separators: 7,132. @param {number|null|undefined} n */
export function count(n) {
  return n === null || n === undefined ? "–" : separated(n);
}

/** A count that may be large: 7,132, 801k, 4.10M. @param {number|null|undefined} n */
export function short(n) {
  if (n === null || n === undefined) return "–";
  if (n < 10000) return count(n);
  if (n < 999500) return digits3(n / 1e3) + "k";
  if (n < 999.5e6) return digits3(n / 1e6) + "M";
  return digits3(n / 1e9) + "B";
}

/** @param {{input: number|null, output: number|null}|null|undefined} usage */
export function totalTokens(usage) {
  if (!usage || (usage.input === null && usage.output === null)) return null;
  return (usage.input ?? 0) + (usage.output ?? 0);
}

/** @param {number|null|undefined} n */
export function bytes(n) {
  if (n === null || n === undefined) return "–";
  if (n < 1000) return `${n} B`;
  if (n < 999500) return `${digits3(n / 1e3)} KB`;
  if (n < 999.5e6) return `${digits3(n / 1e6)} MB`;
  return `${digits3(n / 1e9)} GB`;
}

/** A share between 0 and 1. @param {number|null|undefined} share */
export function percent(share) {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  const value = share * 100;
  if (value === 0) return "0 %";
  if (value < 0.1) return "<0.1 %";
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

/** A change against before, as "+12 %"; empty where there is nothing to compare with.
 * @param {number|null|undefined} now @param {number|null|undefined} before */
export function change(now, before) {
  if (!before || now === null || now === undefined) return "";
  const share = now / before - 1;
  if (Math.abs(share) < 0.005) return "±0 %";
  return `${share > 0 ? "+" : "−"}${Math.abs(share) >= 10 ? Math.round(Math.abs(share)) + "×" : Math.round(Math.abs(share) * 100) + " %"}`;
}

/** Milliseconds since the epoch of a time in nanoseconds given as text. @param {string|number} ns */
export function toMs(ns) {
  return typeof ns === "number" ? ns / MS : Number(BigInt(ns) / 1000n) / 1000;
}

/** Nanoseconds as text of a time in milliseconds. @param {number} ms */
export function toNs(ms) {
  return String(BigInt(Math.round(ms)) * 1000000n);
}

/** How long ago: now, 12 s, 2 min, 4 h, 3 d, then the date. @param {string} ns @param {number} [nowMs] */
export function ago(ns, nowMs = Date.now()) {
  const seconds = (nowMs - toMs(ns)) / 1000;
  if (seconds < 2) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  if (seconds < 86400 * 14) return `${Math.floor(seconds / 86400)} d`;
  return date(toMs(ns));
}

/** The day in local time. @param {number} ms */
export function date(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** The whole time in local time, to the millisecond. @param {string} ns */
export function when(ns) {
  const ms = toMs(ns);
  const at = new Date(ms);
  return `${date(ms)} ${clock(ms)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** The time of day; with the date when it is not today's. @param {number} ms @param {number} [nowMs] */
export function moment(ms, nowMs = Date.now()) {
  const at = new Date(ms);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return date(ms) === date(nowMs) ? time : `${date(ms).slice(5)} ${time}`;
}

/** @param {number} ms */
export function clock(ms) {
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Marks on an axis: multiples of 1, 2 or 5 times a power of ten, about `wanted` of them.
 * @param {number} from @param {number} to @param {number} wanted @returns {number[]} */
export function ticks(from, to, wanted) {
  const span = to - from;
  if (!(span > 0) || wanted < 1) return [];
  const raw = span / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * (raw / power <= 1 ? 1 : raw / power <= 2 ? 2 : raw / power <= 5 ? 5 : 10);
  const marks = [];
  // Counted, not added up: adding 0.1 ten times misses 1.
  for (let k = Math.ceil(from / step - 1e-9); k * step <= to * (1 + 1e-12); k++) marks.push(k * step);
  return marks;
}

/** The label of a mark: no more digits than the step between marks needs. @param {number} ns @param {number} step */
export function tickLabel(ns, step) {
  if (ns === 0) return "0";
  const size = Math.max(Math.abs(ns), step);
  const [unit, name] = size >= S ? [S, "s"] : size >= MS ? [MS, "ms"] : size >= US ? [US, "µs"] : [1, "ns"];
  const places = Math.max(0, Math.min(3, -Math.floor(Math.log10(step / unit) + 1e-9)));
  if (unit === S && step >= 20 * S) {
    const seconds = Math.round(ns / S);
    if (seconds >= 7200 && step >= 60 * S) return duration(seconds * S);
    return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
  }
  return `${(ns / unit).toFixed(places)} ${name}`;
}

/** @param {string} id */
export function shortId(id) {
  return id.slice(0, 8);
}

/** "1 span", "2 spans". @param {number} n @param {string} noun */
export function plural(n, noun) {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/** Without what turns the direction of text around or hides it: in a sentence of ours it would do so to our words too.
 * @param {string} text */
export function plain(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+/g, " ").trim();
}

/** The first `limit` characters, with a mark if there was more. @param {string} text @param {number} limit */
export function clip(text, limit) {
  return text.length > limit ? text.slice(0, limit - 1) + "…" : text;
}
