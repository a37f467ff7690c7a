/** The map of tokens as numbers: what is packed of it, where its points stand, and which of them is nearest. */
import { bytesOf, halvesToFloats } from "./weights.js";

const FULL = 3; // standard deviations of a head's values at which a colour is full
const FALL = [0, 114, 178];
const REST = [150, 150, 150];
const RISE = [213, 94, 0];

/**
 * @typedef {Object} Source a map of the posterior or of Gaussian draws
 * @property {Float32Array[]} scores of each component, by probe
 * @property {Float32Array[]} values of each head, by probe
 * @property {number[]} share
 * @property {number[][]} loadings [component, head]
 * @property {number[]} agreement by head
 */

/**
 * @param {any} map what the page carries
 * @returns {{count: number, tokens: number[], sources: Record<string, Source>}} tokens by probe
 */
export function unpacked(map) {
  const tokens = map.rows.flatMap((/** @type {number[]} */ row) => row.slice(1));
  const count = tokens.length;
  const rowsOf = (/** @type {string} */ packed) => {
    const floats = halvesToFloats(bytesOf(packed));
    return Array.from({ length: floats.length / count }, (_, at) => floats.subarray(at * count, (at + 1) * count));
  };
  const sources = ["value", "noise"].map((name) => [
    name,
    { ...map[name], scores: rowsOf(map[name].scores), values: rowsOf(map[name].values) },
  ]);
  return { count, tokens, sources: Object.fromEntries(sources) };
}

/**
 * The row of text and the place in it of a probe.
 * @param {any} map
 * @param {number} probe
 */
export function placeOf(map, probe) {
  const width = map.rows[0].length - 1;
  return { row: map.rows[Math.floor(probe / width)], at: 1 + (probe % width) };
}

/**
 * An axis that is linear near 0 and logarithmic beyond, from -reach to reach.
 * @param {number} reach
 * @param {number} from place of -reach
 * @param {number} to place of reach
 */
export function asinhScale(reach, from, to) {
  const most = Math.asinh(reach);
  return (/** @type {number} */ value) => from + ((Math.asinh(value) / most + 1) / 2) * (to - from);
}

/**
 * The point nearest to a place; -1 where none is within some distance.
 * @param {ArrayLike<number>} xs
 * @param {ArrayLike<number>} ys
 * @param {number} x
 * @param {number} y
 * @param {number} within
 */
export function nearestPoint(xs, ys, x, y, within) {
  let [best, least] = [-1, within * within];
  for (let at = 0; at < xs.length; at++) {
    const distance = (xs[at] - x) ** 2 + (ys[at] - y) ** 2;
    if (distance <= least) [best, least] = [at, distance];
  }
  return best;
}

/**
 * The colour of a head's value: blue where the head expresses the token (negative), orange where it suppresses it.
 * @param {number} value in standard deviations
 */
export function tintOf(value) {
  const depth = Math.round(4 * Math.min(1, Math.abs(value) / FULL)) / 4;
  const full = value < 0 ? FALL : RISE;
  return `rgb(${REST.map((rest, i) => Math.round(rest + depth * (full[i] - rest))).join(",")})`;
}
