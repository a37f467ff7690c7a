/**
 * The tokens that a head or a path matters for most: those of the page's held-out texts whose loss changes most when it
 * alone is removed, found by the model in the page, a text at a time, so that the page stays at hand meanwhile.
 */

/**
 * @typedef {Object} Found
 * @property {number} text
 * @property {number} at position in it
 * @property {number} loss in nats, of the whole model
 * @property {number} change of the loss, in nats, when the part is removed
 */

/** @type {Map<string, number[]>} losses of the whole model, by checkpoint and text */
const kept = new Map();

/**
 * Changes of the loss on every token of one text.
 * @param {{run: (step: number, tokens: number[], removed?: string[], method?: "zero" | "mean") => {losses: number[]}}} model
 * @param {number[]} tokens
 * @param {number} text
 * @param {number} step
 * @param {string} part
 * @param {"zero" | "mean"} method
 * @returns {Found[]}
 */
export function changesIn(model, tokens, text, step, part, method) {
  const key = `${step} ${text}`;
  const clean = kept.get(key) ?? model.run(step, tokens).losses;
  kept.set(key, clean);
  const { losses } = model.run(step, tokens, [part], method);
  return tokens
    .map((_, at) => ({ text, at, loss: clean[at], change: losses[at] - clean[at] }))
    .slice(1);
}

/**
 * Those with the largest changes, up or down.
 * @param {Found[]} found
 * @param {number} count
 */
export function strongest(found, count) {
  return [...found].sort((one, other) => Math.abs(other.change) - Math.abs(one.change)).slice(0, count);
}

/**
 * Looks through all texts; `tell` hears of what is known after each.
 * @param {number[][]} texts
 * @param {(text: number) => Found[]} look
 * @param {(found: Found[], done: number) => void} tell
 * @param {() => number} wait milliseconds until the page has time for the next text: 0 where it has
 * @returns {() => void} ends it
 */
export function search(texts, look, tell, wait) {
  let [stopped, next] = [false, 0];
  /** @type {Found[]} */
  const found = [];
  const step = () => {
    if (stopped) return;
    const rest = wait();
    if (rest > 0) {
      setTimeout(step, rest);
      return;
    }
    found.push(...look(next));
    next += 1;
    tell(found, next);
    if (next < texts.length) setTimeout(step);
  };
  if (texts.length) setTimeout(step);
  return () => {
    stopped = true;
  };
}
