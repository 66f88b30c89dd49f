// @ts-check
// A line chart over time by uPlot, which is fetched when the first chart is shown. Gaps stay gaps, segments are
// straight, axes have units, and a click asks for what lies behind a point.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm-signals.js";
import { clock, moment } from "../fmt.js";
import { colour, paint } from "../state.js";

const HEIGHT = 176;
const SPARSE = 30;
/** @type {Promise<any>|null} */
let library = null;

/** @returns {Promise<any>} */
function uplot() {
  if (!library) {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = "/ui/vendor/uplot.css";
    document.head.append(sheet);
    library = import("../vendor/uplot.js").then((module) => module.default);
  }
  return library;
}

/**
 * @typedef {{label: string, colour: string, values: (number|null)[], dash?: boolean, fill?: boolean, bars?: boolean}} Line
 * @param {{title: string, note?: string, times: number[], lines: Line[], show: (v: number|null) => string, about?: string, log?: boolean,
 *   onPoint: (k: number) => void, onZoom: (fromMs: number, toMs: number) => void, height?: number}} props
 * times in milliseconds
 */
export function Chart({ title, note, times, lines, show, about = "", log = false, onPoint, onZoom, height = HEIGHT }) {
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const [at, setAt] = useState(-1);
  const act = useRef({ onPoint, onZoom, show });
  act.current = { onPoint, onZoom, show };
  const colours = paint.value;
  const empty = !lines.some((line) => line.values.some((v) => v !== null));

  useEffect(() => {
    const el = box.current;
    if (!el || empty) return undefined;
    let chart = /** @type {any} */ (null);
    let gone = false;
    const watch = new ResizeObserver(() => chart?.setSize({ width: el.clientWidth, height }));
    uplot().then((UPlot) => {
      if (gone) return;
      const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
      const span = times.length ? times[times.length - 1] - times[0] : 0;
      let downAt = 0;
      chart = new UPlot({
        width: el.clientWidth, height, legend: { show: false }, ms: 1, padding: [8, 20, 0, 0],
        scales: { x: { time: true }, y: log ? { distr: 3, log: 10 } : { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => [Math.min(0, low ?? 0), (high || 1) * 1.08] } },
        axes: [
          { ...axis, size: 26, space: 70, values: (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map((t) => (span > 36 * 3600e3 ? moment(t + 500, 0).slice(0, 5) : clock(t + 500).slice(0, 5))) },
          { ...axis, size: 62, space: 34, values: (/** @type {any} */ _, /** @type {(number|null)[]} */ ticks) => ticks.map((t) => (t === null ? "" : act.current.show(t))) },
        ],
        series: [{}, ...lines.map((line) => ({
          label: line.label, stroke: line.bars ? undefined : colour(line.colour), width: line.bars ? 0 : 1.75, dash: line.dash ? [5, 4] : undefined, spanGaps: false,
          fill: line.bars || line.fill ? transparent(colour(line.colour), line.bars ? 0.75 : 0.14) : undefined,
          paths: line.bars ? UPlot.paths.bars({ size: [0.82, 60], align: 1 }) : UPlot.paths.linear(),
          points: { show: !line.bars, size: 5, filter: () => dots(line.values) },
        }))],
        cursor: { x: true, y: false, points: { size: 7 }, drag: { x: true, y: false, setScale: false }, bind: {
          mousedown: (/** @type {any} */ u, /** @type {any} */ t, /** @type {any} */ next) => (/** @type {MouseEvent} */ e) => {
            downAt = e.clientX;
            next(e);
          },
        } },
        hooks: {
          setCursor: [(/** @type {any} */ u) => setAt(u.cursor.idx ?? -1)],
          setSelect: [(/** @type {any} */ u) => {
            if (u.select.width < 4) return;
            act.current.onZoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
            u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          }],
          ready: [(/** @type {any} */ u) => {
            u.over.style.cursor = "pointer";
            u.over.addEventListener("click", (/** @type {MouseEvent} */ e) => {
              if (Math.abs(e.clientX - downAt) < 4 && u.cursor.idx !== null && u.cursor.idx !== undefined) act.current.onPoint(u.cursor.idx);
            });
          }],
        },
      }, [times, ...lines.map((line) => (log ? line.values.map((v) => (v === null || v <= 0 ? null : v)) : line.values))], el);
      watch.observe(el);
    });
    return () => {
      gone = true;
      watch.disconnect();
      chart?.destroy();
    };
  }, [times, lines, log, colours, empty, height]);

  return html`<figure class="chart">
    <figcaption><b>${title}</b>${note && html`<span class="muted">${note}</span>`}<span class="grow"></span>
      <span class="legend">${lines.map((line) => html`<span key=${line.label} class="clip"><i style=${{ background: `var(${line.colour})` }}></i>${line.label}${at >= 0 && at < times.length ? html` <b>${about}${show(line.values[at] ?? null)}</b>` : ""}</span>`)}</span></figcaption>
    ${empty ? html`<div class="chart-empty muted">nothing in this window</div>` : html`<div class="chart-box" ref=${box}></div>`}
    ${at >= 0 && at < times.length && html`<span class="chart-at muted">${moment(times[at])}</span>`}
  </figure>`;
}

/** Where a dot is needed: everywhere in a sparse line, else where a line of one point would not be seen.
 * @param {(number|null)[]} values */
function dots(values) {
  const known = values.map((v, k) => (v === null ? -1 : k)).filter((k) => k >= 0);
  if (known.length <= SPARSE) return known;
  return known.filter((k) => (values[k - 1] ?? null) === null && (values[k + 1] ?? null) === null);
}

/** @param {string} rgb as getComputedStyle gives it @param {number} alpha */
function transparent(rgb, alpha) {
  const m = /rgba?\(([^)]+)\)/.exec(rgb);
  return m ? `rgba(${m[1].split(/[ ,/]+/).slice(0, 3).join(",")},${alpha})` : rgb;
}
