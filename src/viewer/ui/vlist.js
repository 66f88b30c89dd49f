// @ts-check
// A list of any length with rows of one height: only the rows in sight exist. The heads of columns live inside the same
// scroller, so that they stay over their columns whatever the scroll bar's width.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact-htm-signals.js";

/** Rows kept ready above and below. */
const SPARE = 8;
/** The window moves in steps of this many rows: most scroll events then change nothing. */
const STEP = 4;
/** Browsers cannot lay out a taller element; beyond it rows could not be reached. */
const TALLEST = 16_000_000;

/**
 * @typedef {{show: (k: number, middle?: boolean) => void, top: () => number, element: () => HTMLElement|null}} ListApi
 * @param {{count: number, height: number, render: (k: number) => any, header?: any, headerHeight?: number, class?: string,
 *   label: string, role?: string, api?: {current: ListApi|null}, onEnd?: () => void, onTop?: (top: number) => void,
 *   overlay?: any, footer?: any, onWheel?: (event: WheelEvent) => void}} props
 */
export function VList(props) {
  const { count, height, render, headerHeight = 0 } = props;
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const [first, setFirst] = useState(0);
  const [room, setRoom] = useState(800);
  const full = Math.min(count * height, TALLEST);

  const measure = () => {
    const el = box.current;
    if (!el) return;
    setFirst(Math.floor(el.scrollTop / height / STEP) * STEP);
    props.onTop?.(el.scrollTop);
    if (props.onEnd && el.scrollTop + el.clientHeight > full - 600) props.onEnd();
  };
  useLayoutEffect(() => {
    const el = /** @type {HTMLElement} */ (box.current);
    const watch = new ResizeObserver(() => setRoom(el.clientHeight));
    watch.observe(el);
    setRoom(el.clientHeight);
    return () => watch.disconnect();
  }, []);
  // A wheel that zooms must be able to keep the page still; listeners in markup are passive.
  useEffect(() => {
    const el = box.current;
    const wheel = props.onWheel;
    if (!el || !wheel) return;
    el.addEventListener("wheel", wheel, { passive: false });
    return () => el.removeEventListener("wheel", wheel);
  }, [props.onWheel]);
  useEffect(measure, [count, height]);

  if (props.api) {
    props.api.current = {
      element: () => box.current,
      top: () => box.current?.scrollTop ?? 0,
      show: (k, middle = false) => {
        const el = box.current;
        if (!el) return;
        const top = k * height;
        const view = el.clientHeight - headerHeight;
        if (middle && (top < el.scrollTop || top + height > el.scrollTop + view)) el.scrollTop = top - view / 2 + height / 2;
        else if (top < el.scrollTop) el.scrollTop = top;
        else if (top + height > el.scrollTop + view) el.scrollTop = top + height - view;
      },
    };
  }

  const from = Math.max(0, Math.min(first, count) - SPARE);
  const to = Math.min(count, first + Math.ceil(room / height) + SPARE + STEP);
  // A row that stays in sight while one scrolls is the same object, which is how the library knows to leave it alone.
  const made = useRef({ render, rows: new Map() });
  const old = made.current.render === render ? made.current.rows : new Map();
  const rows = [];
  const kept = new Map();
  for (let k = from; k < to; k++) {
    const row = old.get(k) ?? render(k);
    kept.set(k, row);
    rows.push(row);
  }
  made.current = { render, rows: kept };
  return html`<div class=${`vlist ${props.class ?? ""}`} ref=${box} onScroll=${measure} tabindex="-1">
    ${props.header}
    <div class="vlist-body" role=${props.role ?? "list"} aria-label=${props.label} style=${{ height: `${full}px` }}>
      ${props.overlay}
      <div class="vlist-rows" role="none" style=${{ paddingTop: `${from * height}px` }}>${rows}</div>
    </div>
    ${props.footer}
  </div>`;
}
