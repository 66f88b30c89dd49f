// @ts-check
// How many traces over time, as a strip of bars with the figures of the window beside it. Dragging over it narrows the
// window.

import { html, useRef, useState } from "../vendor/preact-htm-signals.js";
import { count, duration, moment, money, percent, toMs } from "../fmt.js";

/** @param {{strip: import("../types.js").Strip, onRange: (sinceNs: string, untilNs: string) => void}} props */
export function Strip({ strip, onRange }) {
  const box = useRef(/** @type {SVGElement|null} */ (null));
  const [drag, setDrag] = useState(/** @type {[number, number]|null} */ (null));
  const { buckets } = strip;
  const n = buckets.length;
  const most = Math.max(1, ...buckets.map(([, c]) => c));
  const step = n > 1 ? BigInt(buckets[1][0]) - BigInt(buckets[0][0]) : 1n;

  /** @param {PointerEvent} e */
  const at = (e) => {
    const r = /** @type {SVGElement} */ (box.current).getBoundingClientRect();
    return Math.max(0, Math.min(n - 1, Math.floor(((e.clientX - r.left) / r.width) * n)));
  };
  /** @param {PointerEvent} e */
  const down = (e) => {
    if (!n) return;
    /** @type {Element} */ (e.currentTarget).setPointerCapture(e.pointerId);
    setDrag([at(e), at(e)]);
  };
  const up = () => {
    if (!drag) return;
    const [a, b] = [Math.min(...drag), Math.max(...drag)];
    setDrag(null);
    onRange(buckets[a][0], String(BigInt(buckets[b][0]) + step));
  };
  const [low, high] = drag ? [Math.min(...drag), Math.max(...drag)] : [0, -1];
  return html`<div class="strip">
    <div class="strip-chart">
      <svg ref=${box} viewBox=${`0 0 ${Math.max(1, n)} 32`} preserveAspectRatio="none" role="img"
        aria-label=${`${count(strip.count)} traces, ${count(strip.errors)} failed`}
        onPointerDown=${down} onPointerMove=${(/** @type {PointerEvent} */ e) => drag && setDrag([drag[0], at(e)])} onPointerUp=${up} onPointerCancel=${() => setDrag(null)}>
        ${drag && html`<rect class="sel" x=${low} y="0" width=${high - low + 1} height="32" />`}
        ${buckets.map(([start, c, errors], k) => {
          const h = c ? Math.max(2, (c / most) * 30) : 0;
          const bad = errors ? Math.max(2, (errors / most) * 30) : 0;
          return html`<g key=${k}><title>${moment(toMs(start))}: ${count(c)} traces${errors ? `, ${count(errors)} failed` : ""}</title>
            <rect class="hit" x=${k} y="0" width="1" height="32" />
            <rect class="n" x=${k + 0.1} y=${32 - h} width="0.8" height=${h} />${bad > 0 && html`<rect class="e" x=${k + 0.1} y=${32 - bad} width="0.8" height=${bad} />`}</g>`;
        })}
      </svg>
      ${n > 0 && html`<div class="strip-times"><span>${moment(toMs(buckets[0][0]))}</span><span class="hint">drag to zoom</span><span>${moment(toMs(String(BigInt(buckets[n - 1][0]) + step)))}</span></div>`}
    </div>
    <dl class="figures">
      <div><dt>traces</dt><dd>${count(strip.count)}</dd></div>
      <div><dt>failed</dt><dd class=${strip.errors ? "bad" : ""}>${percent(strip.count ? strip.errors / strip.count : 0)}</dd></div>
      <div><dt>p50</dt><dd>${duration(strip.p50)}</dd></div>
      <div><dt>p95</dt><dd>${duration(strip.p95)}</dd></div>
      <div><dt>p99</dt><dd>${duration(strip.p99)}</dd></div>
      <div><dt>cost</dt><dd>${money(strip.cost)}</dd></div>
    </dl>
  </div>`;
}
