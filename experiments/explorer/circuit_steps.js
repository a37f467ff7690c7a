/** Which checkpoints have their paths measured. */
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
