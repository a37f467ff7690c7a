/** Which checkpoints have their paths measured, and which paths are in the circuit there. */
import { nearest } from "./scales.js";

/**
 * Which of the checkpoints whose paths are measured is nearest to one of the run's, in checkpoints.
 * @param {any} data
 * @param {number} step
 */
export function measuredAt(data, step) {
  const number = (/** @type {number} */ one) => data.steps.indexOf(one);
  return nearest(data.circuit.steps.map(number), number(step));
}

/**
 * Whether a path is in the circuit, by the switch.
 * @param {any} found the circuit's data
 * @param {string} shown "found", or "stable": again on most resamples of the prompts
 * @param {number} at which of the measured checkpoints
 * @param {number} number of the path
 */
export function isInside(found, shown, at, number) {
  return Boolean(found.found[at][number]) && (shown !== "stable" || found.paths[number].frequency >= found.stable);
}
