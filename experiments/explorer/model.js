/**
 * The forward pass of an attention-only transformer, with heads replaced and direct paths cut: the same functions as
 * `ablations.forward` and the same rules as `ablations.sums`, in numbers of 32 bits.
 *
 * Matrices are flat arrays, rows one after another; a residual stream is [position, d_model].
 */

import { attentionOf, multiplyInto, normalize, turn } from "./algebra.js";

/**
 * @typedef {Object} Config
 * @property {number} layers
 * @property {number} heads in each layer
 * @property {number} width d_model
 * @property {number} headWidth d_head
 * @property {number} vocabulary
 * @property {number} context tokens that the model reads at most
 * @property {number} eps of the layer norms
 * @property {number} scale by which scores are divided
 * @property {boolean} norms whether there are norms
 * @property {boolean} centred whether they take the mean away, as layer norms do and RMS norms do not
 * @property {"shortformer" | "standard" | "rotary"} positions added to what queries and keys read, or to the residual
 *   stream, or by which queries and keys are turned
 * @property {{width: number, base: number, adjacent: boolean} | null} rotary how many components are turned, the base of
 *   the angles, and whether pairs are neighbours
 *
 * @typedef {Record<string, Float32Array>} Weights by the parameters' own names
 *
 * @typedef {Object} Cut a direct path, and what stands in for its source on it
 * @property {string} source a head's name, or "embed"
 * @property {string} target a head's name, or "output"
 * @property {string} via "q", "k" or "v"; "" for the output
 * @property {Float32Array | null} value z of a head, [d_model] of the embedding; null: zero
 *
 * @typedef {Object} Change
 * @property {Map<string, Float32Array | null>} heads z that replaces a head's at every position; null: zero
 * @property {Cut[]} cuts
 *
 * @typedef {Object} Run
 * @property {Float32Array} logits [position, vocabulary]
 * @property {Map<string, Float32Array>} patterns attention by head, [query, key]
 */

/** @returns {Change} nothing */
export function noChange() {
  return { heads: new Map(), cuts: [] };
}

/**
 * Rows of the position table added to a stream.
 * @param {Float32Array} stream
 * @param {Weights} weights
 * @returns {Float32Array}
 */
function positioned(stream, weights) {
  return stream.map((value, at) => value + weights["pos_embed.W_pos"][at]);
}

/**
 * Queries, keys or values of one head [position, d_head] from what they read of the residual stream.
 * @param {Float32Array} read normalized
 * @param {"q" | "k" | "v"} via
 * @param {Config} config
 * @param {Weights} weights
 * @param {number} layer
 * @param {number} head
 */
function received(read, via, config, weights, layer, head) {
  const { width, headWidth } = config;
  const input = via !== "v" && config.positions === "shortformer" ? positioned(read, weights) : read;
  const letter = via.toUpperCase();
  const size = width * headWidth;
  const matrix = weights[`blocks.${layer}.attn.W_${letter}`].subarray(head * size, (head + 1) * size);
  const bias = weights[`blocks.${layer}.attn.b_${letter}`].subarray(head * headWidth, (head + 1) * headWidth);
  const out = new Float32Array((read.length / width) * headWidth);
  for (let at = 0; at < out.length; at++) out[at] = bias[at % headWidth];
  multiplyInto(input, matrix, out, width, headWidth);
  return via === "v" ? out : turn(out, config);
}

/**
 * What a head's z adds to the residual stream, added to out.
 * @param {Float32Array} z
 * @param {Float32Array} out
 * @param {Config} config
 * @param {Weights} weights
 * @param {string} name of the head
 */
function writeInto(z, out, config, weights, name) {
  const [layer, head] = name.slice(1).split("H").map(Number);
  const size = config.headWidth * config.width;
  const matrix = weights[`blocks.${layer}.attn.W_O`].subarray(head * size, (head + 1) * size);
  multiplyInto(z, matrix, out, config.headWidth, config.width);
}

/**
 * A stream without what some sources write to it on the paths that are cut, less what stands in for them.
 * @param {Float32Array} stream
 * @param {Cut[]} cuts of one target and input
 * @param {Map<string, Float32Array>} written z of heads and the embedding, by name, in this very run
 * @param {Config} config
 * @param {Weights} weights
 */
function without(stream, cuts, written, config, weights) {
  if (!cuts.length) return stream;
  const lost = new Float32Array(stream.length);
  for (const { source, value } of cuts) {
    const values = /** @type {Float32Array} */ (written.get(source));
    const moved = value ? values.map((number, at) => number - value[at % value.length]) : values;
    if (source === "embed") moved.forEach((number, at) => (lost[at] += number));
    else writeInto(moved, lost, config, weights, source);
  }
  return stream.map((number, at) => number - lost[at]);
}

/**
 * Each cut once: a path that is named twice is cut once.
 * @param {Cut[]} cuts
 * @param {string} target
 * @param {string} via
 */
function cutsInto(cuts, target, via) {
  const chosen = cuts.filter((cut) => cut.target === target && cut.via === via);
  return [...new Map(chosen.map((cut) => [cut.source, cut])).values()];
}

/**
 * z of one head [position, d_head], and its attention.
 * @param {Float32Array} stream the residual stream before its layer
 * @param {Float32Array} normalized the same behind the layer's norm
 * @param {(via: string) => Cut[]} cutsBy
 * @param {Map<string, Float32Array>} written
 * @param {Config} config
 * @param {Weights} weights
 * @param {number} layer
 * @param {number} head
 */
function attend(stream, normalized, cutsBy, written, config, weights, layer, head) {
  const [query, key, value] = /** @type {("q" | "k" | "v")[]} */ (["q", "k", "v"]).map((via) => {
    const cuts = cutsBy(via);
    const rest = without(stream, cuts, written, config, weights);
    const read = cuts.length ? normalize(rest, config, weights, `blocks.${layer}.ln1`) : normalized;
    return received(read, via, config, weights, layer, head);
  });
  const pattern = attentionOf(query, key, config);
  const z = new Float32Array(query.length);
  multiplyInto(pattern, value, z, query.length / config.headWidth, config.headWidth);
  return { z, pattern };
}

/**
 * Runs the model on a text.
 * @param {Config} config
 * @param {Weights} weights
 * @param {number[]} tokens at most as many as its context
 * @param {Change} change
 * @returns {Run}
 */
export function forward(config, weights, tokens, change = noChange()) {
  const { width, vocabulary, headWidth } = config;
  if (!tokens.length || tokens.length > config.context) {
    throw new Error(`${tokens.length} tokens: the model reads 1 to ${config.context}`);
  }
  const embedded = new Float32Array(tokens.length * width);
  tokens.forEach((token, at) => {
    embedded.set(weights["embed.W_E"].subarray(token * width, (token + 1) * width), at * width);
  });
  const written = new Map([["embed", embedded]]);
  const patterns = new Map();
  let stream = config.positions === "standard" ? positioned(embedded, weights) : embedded;
  for (let layer = 0; layer < config.layers; layer++) {
    const normalized = normalize(stream, config, weights, `blocks.${layer}.ln1`);
    const bias = weights[`blocks.${layer}.attn.b_O`];
    const after = stream.map((number, at) => number + bias[at % width]);
    for (let head = 0; head < config.heads; head++) {
      const name = `L${layer}H${head}`;
      const cutsBy = (/** @type {string} */ via) => cutsInto(change.cuts, name, via);
      const ran = attend(stream, normalized, cutsBy, written, config, weights, layer, head);
      const instead = change.heads.get(name);
      const z = !change.heads.has(name) ? ran.z : ran.z.map((_, at) => (instead ? instead[at % headWidth] : 0));
      written.set(name, z);
      patterns.set(name, ran.pattern);
      writeInto(z, after, config, weights, name);
    }
    stream = after;
  }
  stream = without(stream, cutsInto(change.cuts, "output", ""), written, config, weights);
  const logits = new Float32Array(tokens.length * vocabulary);
  for (let at = 0; at < logits.length; at++) logits[at] = weights["unembed.b_U"][at % vocabulary];
  multiplyInto(normalize(stream, config, weights, "ln_final"), weights["unembed.W_U"], logits, width, vocabulary);
  return { logits, patterns };
}
