// @ts-check
// What the overview and the lanes are painted with: a canvas as wide as its place, sharp on dense screens, and the
// colours of the kinds.

import { useLayoutEffect, useRef, useState } from "../vendor/preact-htm-signals.js";
import { colour } from "../state.js";
import { KINDS } from "../tree.js";

/** A canvas and the width of the element around it in CSS pixels, 0 until it is known.
 * @returns {[{current: HTMLCanvasElement|null}, number]} */
export function useCanvas() {
  const canvas = useRef(/** @type {HTMLCanvasElement|null} */ (null));
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const el = /** @type {HTMLElement} */ (canvas.current?.parentElement);
    const watch = new ResizeObserver(() => setWidth(el.clientWidth));
    watch.observe(el);
    setWidth(el.clientWidth);
    return () => watch.disconnect();
  }, []);
  return [canvas, width];
}

/** Wipe a canvas and give its pen, which measures in CSS pixels. Twice the pixels are sharp enough for any screen.
 * @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
export function penOf(canvas, width, height) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(ratio, ratio);
  return pen;
}

/** The colour of each kind, in the order of KINDS. */
export function kindColours() {
  return KINDS.map((kind) => colour(`--k-${kind}`));
}
