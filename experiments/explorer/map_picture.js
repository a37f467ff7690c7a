/** The points of the map of tokens: where they stand, painted on a canvas, and as a picture that needs no page. */
import { svg } from "./svg.js";
import { asinhScale } from "./map_data.js";

const EDGE = { left: 34, right: 8, top: 8, bottom: 34 };
const TICKS = [-30, -10, -3, -1, 0, 1, 3, 10, 30];
const [DOT, RING] = [2.4, 6]; // pixels
const OPACITY = 0.7;

/**
 * @typedef {Object} Places
 * @property {number} width
 * @property {number} height
 * @property {Float32Array} xs by probe, in pixels
 * @property {Float32Array} ys
 * @property {{at: number, text: string}[]} across ticks
 * @property {{at: number, text: string}[]} up ticks
 * @property {string[]} names of the axes
 */

/**
 * @param {any} map
 * @param {any} whole
 * @param {string} source "value" or "noise"
 * @param {number} width
 * @returns {Places}
 */
export function places(map, whole, source, width) {
  const height = Math.round(width * 0.66);
  const ends = [[EDGE.left, width - EDGE.right], [height - EDGE.bottom, EDGE.top]];
  const axes = whole.sources[source].scores.map((/** @type {Float32Array} */ score, /** @type {number} */ which) => {
    const reach = 1.1 * score.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const scale = asinhScale(reach, ends[which][0], ends[which][1]);
    const ticks = TICKS.filter((tick) => Math.abs(tick) < reach).map((tick) => ({
      at: scale(tick),
      text: `${tick}`.replace("-", "−"),
    }));
    return { at: score.map(scale), ticks };
  });
  const names = map[source].share.map((/** @type {number} */ share, /** @type {number} */ which) =>
    `component ${which + 1} (${Math.round(100 * share)}% of variance)`
  );
  return { width, height, xs: axes[0].at, ys: axes[1].at, across: axes[0].ticks, up: axes[1].ticks, names };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Places} shown
 * @param {string[]} colors by probe
 * @param {{probe: number, same: number[]}} marked
 * @param {number} unit pixels of the page for each of the picture
 */
export function repaint(canvas, shown, colors, marked, unit) {
  const { width, height, xs, ys } = shown;
  const ratio = (globalThis.devicePixelRatio || 1) * unit;
  const style = getComputedStyle(canvas);
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  [canvas.style.width, canvas.style.height] = [`${width * unit}px`, `${height * unit}px`];
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(ratio, ratio);
  paintAxes(pen, shown, style);
  pen.globalAlpha = OPACITY;
  for (const [color, probes] of byColor(colors)) {
    pen.fillStyle = color;
    pen.beginPath();
    for (const probe of probes) pen.rect(xs[probe] - DOT / 2, ys[probe] - DOT / 2, DOT, DOT);
    pen.fill();
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = style.color;
  const ring = (/** @type {number} */ probe, /** @type {number} */ size) => {
    pen.beginPath();
    pen.arc(xs[probe], ys[probe], size, 0, 2 * Math.PI);
    pen.stroke();
  };
  pen.lineWidth = 0.8;
  for (const probe of marked.same) ring(probe, RING / 2);
  pen.lineWidth = 2.2;
  if (marked.probe >= 0) ring(marked.probe, RING);
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Places} shown
 * @param {CSSStyleDeclaration} style
 */
function paintAxes(pen, { width, height, across, up, names }, style) {
  const base = height - EDGE.bottom;
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.strokeRect(EDGE.left, EDGE.top, width - EDGE.left - EDGE.right, base - EDGE.top);
  pen.fillStyle = style.color;
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "center";
  for (const { at, text } of across) pen.fillText(text, at, base + 14);
  pen.fillText(names[0], (EDGE.left + width) / 2, height - 6);
  pen.textAlign = "right";
  for (const { at, text } of up) pen.fillText(text, EDGE.left - 5, at + 4);
  pen.save();
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.fillText(names[1], -(EDGE.top + base) / 2, 10);
  pen.restore();
}

/**
 * Probes by their colour.
 * @param {string[]} colors
 * @returns {Map<string, number[]>}
 */
function byColor(colors) {
  /** @type {Map<string, number[]>} */
  const found = new Map();
  colors.forEach((color, probe) => {
    const same = found.get(color);
    if (same) same.push(probe);
    else found.set(color, [probe]);
  });
  return found;
}

/**
 * The same as a picture that needs no page.
 * @param {Places} shown
 * @param {string[]} colors
 * @param {{probe: number, same: number[]}} marked
 * @returns {SVGSVGElement}
 */
export function mapPicture({ width, height, xs, ys, across, up, names }, colors, marked) {
  const page = getComputedStyle(document.body);
  const base = height - EDGE.bottom;
  const words = { fill: page.color, "font-family": "system-ui, sans-serif", "font-size": 11, "text-anchor": "middle" };
  const spots = [...byColor(colors)].map(([fill, probes]) =>
    svg("path", {
      ...{ fill, opacity: OPACITY },
      d: probes
        .map((probe) =>
          `M${(xs[probe] - DOT / 2).toFixed(1)} ${(ys[probe] - DOT / 2).toFixed(1)}h${DOT}v${DOT}h-${DOT}z`
        )
        .join(""),
    })
  );
  const ring = (/** @type {number} */ probe, /** @type {number} */ r) =>
    svg("circle", { cx: xs[probe].toFixed(1), cy: ys[probe].toFixed(1), r, fill: "none", stroke: page.color });
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, xmlns: "http://www.w3.org/2000/svg" },
    svg("rect", { width, height, fill: page.backgroundColor }),
    svg("path", {
      ...{ fill: "none", stroke: "#999" },
      d: `M${EDGE.left} ${EDGE.top}H${width - EDGE.right}V${base}H${EDGE.left}z`,
    }),
    ...spots,
    ...marked.same.map((probe) => ring(probe, RING / 2)),
    ...(marked.probe >= 0 ? [ring(marked.probe, RING)] : []),
    ...across.map(({ at, text }) => svg("text", { ...words, x: at, y: base + 14 }, text)),
    ...up.map(({ at, text }) => svg("text", { ...words, "text-anchor": "end", x: EDGE.left - 5, y: at + 4 }, text)),
    svg("text", { ...words, x: (EDGE.left + width) / 2, y: height - 6 }, names[0]),
    svg("text", { ...words, transform: `translate(10 ${(EDGE.top + base) / 2}) rotate(-90)` }, names[1]),
  );
}
