/** From numbers to places in a picture, and to words. */

/**
 * Tokens on a logarithmic axis that holds zero.
 * @param {number[]} tokens of all checkpoints, in millions
 * @param {number} left
 * @param {number} right
 * @returns {{at: (tokens: number) => number, ticks: number[]}}
 */
export function tokenScale(tokens, left, right) {
  const least = Math.min(...tokens.filter((count) => count > 0), Infinity);
  const unit = Number.isFinite(least) ? least : 1;
  const most = Math.max(...tokens, unit);
  const place = (/** @type {number} */ count) => Math.log1p(count / unit) / Math.log1p(most / unit);
  const powers = [0.001, 0.01, 0.1, 1, 10, 100, 1000, 10000];
  const inside = powers.filter((tick) => tick >= unit && tick <= most);
  return {
    at: (count) => left + place(count) * (right - left),
    ticks: [0, ...(inside.length ? inside : [Math.round(most)])],
  };
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} from place of low
 * @param {number} to place of high
 */
export function linearScale(low, high, from, to) {
  const width = high - low || 1;
  return (/** @type {number} */ value) => from + ((value - low) / width) * (to - from);
}

/**
 * A number with some digits after the point, and a real minus; nothing where there is none.
 * @param {number | null | undefined} value
 * @param {number} digits
 */
export function written(value, digits = 2) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

/**
 * The same with a plus where it is positive.
 * @param {number | null | undefined} value
 * @param {number} digits
 */
export function signed(value, digits = 2) {
  return `${(value ?? 0) > 0 ? "+" : ""}${written(value, digits)}`;
}

/**
 * A value and half the width of its interval.
 * @param {number | null | undefined} value
 * @param {number | null | undefined} half
 * @param {number} digits
 */
export function plusMinus(value, half, digits = 2) {
  const known = half !== null && half !== undefined;
  return known ? `${written(value, digits)} ± ${written(half, digits)}` : written(value, digits);
}

/**
 * Where in some sorted steps the last one is that does not come after another; -1 where all come after it.
 * @param {number[]} steps
 * @param {number} step
 */
export function latest(steps, step) {
  return steps.findLastIndex((one) => one <= step);
}

/**
 * Where in some sorted numbers the one nearest to another is; of two as near, the earlier.
 * @param {number[]} numbers
 * @param {number} to
 */
export function nearest(numbers, to) {
  const gaps = numbers.map((number) => Math.abs(number - to));
  return gaps.indexOf(Math.min(...gaps));
}
