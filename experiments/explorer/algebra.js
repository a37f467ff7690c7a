/** The arithmetic of a transformer on flat arrays, rows one after another: products, layer norms, attention. */

/** @typedef {import("./model.js").Config} Config */

/**
 * left [rows, inner] times right [inner, columns], added to out [rows, columns]. Four terms at a time, since reading
 * and writing `out` is what takes longest.
 * @param {Float32Array} left
 * @param {Float32Array} right
 * @param {Float32Array} out
 * @param {number} inner
 * @param {number} columns
 */
export function multiplyInto(left, right, out, inner, columns) {
  const whole = inner - (inner % 4);
  for (let from = 0, to = 0; from < left.length; from += inner, to += columns) {
    for (let i = 0; i < whole; i += 4) {
      const a = left[from + i];
      const b = left[from + i + 1];
      const c = left[from + i + 2];
      const d = left[from + i + 3];
      const first = i * columns;
      const second = first + columns;
      const third = second + columns;
      const fourth = third + columns;
      for (let j = 0; j < columns; j++) {
        out[to + j] += a * right[first + j] + b * right[second + j] + c * right[third + j] + d * right[fourth + j];
      }
    }
    for (let i = whole; i < inner; i++) {
      const factor = left[from + i];
      for (let j = 0; j < columns; j++) out[to + j] += factor * right[i * columns + j];
    }
  }
}

/**
 * A norm of every position, with what of gain and bias there is: a layer norm, or an RMS norm, which keeps the mean.
 * @param {Float32Array} stream
 * @param {Config} config
 * @param {Record<string, Float32Array>} weights
 * @param {string} name "blocks.0.ln1" or "ln_final"
 * @returns {Float32Array}
 */
export function normalize(stream, config, weights, name) {
  if (!config.norms) return stream;
  const { width, eps } = config;
  const [gain, bias] = [weights[`${name}.w`], weights[`${name}.b`]];
  const out = new Float32Array(stream.length);
  for (let start = 0; start < stream.length; start += width) {
    let mean = 0;
    if (config.centred) { for (let i = 0; i < width; i++) mean += stream[start + i] / width; }
    let variance = 0;
    for (let i = 0; i < width; i++) variance += (stream[start + i] - mean) ** 2 / width;
    const scale = 1 / Math.sqrt(variance + eps);
    for (let i = 0; i < width; i++) {
      const value = (stream[start + i] - mean) * scale;
      out[start + i] = (gain ? value * gain[i] : value) + (bias ? bias[i] : 0);
    }
  }
  return out;
}

/**
 * Queries or keys turned by rotary positions, in place: each pair of components by an angle that grows with the
 * position (Su et al. 2021, arXiv:2104.09864); as they are without such positions.
 * @param {Float32Array} vectors [position, headWidth]
 * @param {Config} config
 */
export function turn(vectors, { rotary, headWidth }) {
  if (!rotary) return vectors;
  const pairs = rotary.width / 2;
  for (let pair = 0; pair < pairs; pair++) {
    const speed = rotary.base ** -(pair / pairs);
    const [first, second] = rotary.adjacent ? [2 * pair, 2 * pair + 1] : [pair, pair + pairs];
    for (let start = 0, position = 0; start < vectors.length; start += headWidth, position++) {
      const [sin, cos] = [Math.sin(position * speed), Math.cos(position * speed)];
      const [a, b] = [vectors[start + first], vectors[start + second]];
      vectors[start + first] = a * cos - b * sin;
      vectors[start + second] = b * cos + a * sin;
    }
  }
  return vectors;
}

/**
 * Causal attention probabilities [query, key].
 * @param {Float32Array} query
 * @param {Float32Array} key
 * @param {Config} config
 */
export function attentionOf(query, key, config) {
  const width = config.headWidth;
  const length = query.length / width;
  const pattern = new Float32Array(length * length);
  for (let to = 0; to < length; to++) {
    let largest = -Infinity;
    for (let from = 0; from <= to; from++) {
      let score = 0;
      for (let i = 0; i < width; i++) score += query[to * width + i] * key[from * width + i];
      pattern[to * length + from] = score / config.scale;
      largest = Math.max(largest, score / config.scale);
    }
    let total = 0;
    for (let from = 0; from <= to; from++) total += Math.exp(pattern[to * length + from] - largest);
    for (let from = 0; from <= to; from++) {
      pattern[to * length + from] = Math.exp(pattern[to * length + from] - largest) / total;
    }
  }
  return pattern;
}
