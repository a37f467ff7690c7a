/** What logits say: probabilities, and the loss on the tokens that follow. */

/**
 * Log probabilities of all tokens of the vocabulary after the token at one position.
 * @param {Float32Array} logits
 * @param {number} vocabulary
 * @param {number} position
 * @returns {Float32Array}
 */
export function logProbabilities(logits, vocabulary, position) {
  const row = logits.subarray(position * vocabulary, (position + 1) * vocabulary);
  const largest = row.reduce((most, value) => Math.max(most, value), -Infinity);
  const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value - largest), 0)) + largest;
  return row.map((value) => value - total);
}

/**
 * The loss in nats on every token, given those before it; NaN for the first, which nothing predicts.
 * @param {Float32Array} logits
 * @param {number} vocabulary
 * @param {number[]} tokens
 * @returns {number[]}
 */
export function lossesOf(logits, vocabulary, tokens) {
  return tokens.map((token, at) => (at ? -logProbabilities(logits, vocabulary, at - 1)[token] : NaN));
}

/**
 * The tokens that are likeliest after a position, with their probabilities.
 * @param {{logits: Float32Array}} run
 * @param {number} vocabulary
 * @param {number} position
 * @param {number} count
 * @returns {{token: number, probability: number}[]}
 */
export function likeliest(run, vocabulary, position, count) {
  const logs = logProbabilities(run.logits, vocabulary, position);
  const order = Array.from(logs.keys()).sort((one, other) => logs[other] - logs[one]);
  return order.slice(0, count).map((token) => ({ token, probability: Math.exp(logs[token]) }));
}
