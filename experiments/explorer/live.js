/**
 * The model alive: a text run at a checkpoint, as it is and with heads ablated and paths cut, both as plain data.
 */
import { bytesOf, halvesToFloats, parametersOf } from "./weights.js";
import { forward, noChange } from "./model.js";
import { lossesOf } from "./losses.js";

/**
 * @typedef {import("./model.js").Change} Change
 * @typedef {import("./model.js").Run} Run
 *
 * @typedef {Object} LiveData
 * @property {import("./model.js").Config} config
 * @property {{name: string, size: number}[]} layout
 * @property {{step: number, weights: string, means: Record<string, number[]>}[]} checkpoints
 *
 * @typedef {Object} Outcome
 * @property {Run} run
 * @property {number[]} losses in nats, by token; NaN for the first
 */

/**
 * What is removed, from the names of heads ("L0H5") and paths ("L0H5->L1H4.k", "embed->output").
 * @param {string[]} names
 * @param {"zero" | "mean"} method what stands in: nothing, or the mean over held-out text
 * @param {Record<string, number[]>} means
 * @returns {Change}
 */
export function changeOf(names, method, means) {
  const value = (/** @type {string} */ source) => (method === "mean" ? Float32Array.from(means[source]) : null);
  const change = noChange();
  for (const name of names) {
    const [source, end] = name.split("->");
    if (end === undefined) change.heads.set(source, value(source));
    else {
      const [target, via = ""] = end.split(".");
      change.cuts.push({ source, target, via, value: value(source) });
    }
  }
  return change;
}

/**
 * Whether a name is that of a head or of a path of the model, as `changeOf` reads it.
 * @param {string} name
 * @param {import("./model.js").Config} config
 */
export function isPart(name, config) {
  const layerOf = (/** @type {string} */ head) => {
    const match = /^L(\d+)H(\d+)$/.exec(head);
    return match && Number(match[1]) < config.layers && Number(match[2]) < config.heads ? Number(match[1]) : NaN;
  };
  const match = /^(.+?)->(?:(output)|(.+)\.[qkv])$/.exec(name);
  if (!match) return !Number.isNaN(layerOf(name));
  const [source, target] = [
    match[1] === "embed" ? -1 : layerOf(match[1]),
    match[2] ? config.layers : layerOf(match[3]),
  ];
  return source < target;
}

/**
 * @param {LiveData} data
 */
export function makeLive(data) {
  const unpacked = new Map();
  const at = (/** @type {number} */ step) => {
    const found = data.checkpoints.find((checkpoint) => checkpoint.step === step);
    if (!found) throw new Error(`no weights of step ${step} in this page`);
    return found;
  };
  const weightsOf = (/** @type {number} */ step) => {
    if (!unpacked.has(step)) {
      unpacked.set(step, parametersOf(halvesToFloats(bytesOf(at(step).weights)), data.layout));
    }
    return unpacked.get(step);
  };

  /**
   * @param {number} step
   * @param {number[]} tokens
   * @param {string[]} removed names of heads and paths
   * @param {"zero" | "mean"} method
   * @returns {Outcome}
   */
  function run(step, tokens, removed = [], method = "zero") {
    const ran = forward(data.config, weightsOf(step), tokens, changeOf(removed, method, at(step).means));
    return { run: ran, losses: lossesOf(ran.logits, data.config.vocabulary, tokens) };
  }
  return { run, steps: data.checkpoints.map(({ step }) => step), config: data.config };
}
