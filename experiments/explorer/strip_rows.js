/** The curves of all heads as one table. */

export const SCORES = {
  previous_token: "attention to the token before",
  current_token: "attention to the token itself",
  prefix_matching: "prefix-matching score",
};

/**
 * All curves as one table.
 * @param {any} data
 * @returns {(string | number | null)[][]}
 */
export function stripRows(data) {
  const rows = [["head", "type", "measure", "step", "million_tokens", "value", "half_width_95", "verdict"]];
  data.heads.forEach((head, number) => {
    const add = (measure, step, value, half, verdict) =>
      rows.push([head.name, head.type, measure, step, data.tokens[data.steps.indexOf(step)], value, half, verdict]);
    for (const gauge of data.rllc.reason ? [] : Object.keys(data.rllc)) {
      const found = data.rllc[gauge];
      found.steps.forEach((step, at) =>
        add(`rllc_${gauge}`, step, found.value[number][at], found.half[number][at], found.verdict[number][at])
      );
    }
    for (const name of data.scores.reason ? [] : Object.keys(SCORES)) {
      data.steps.forEach((step, at) =>
        add(name, step, data.scores[name][number][at], data.scores[`${name}_half`][number][at], "")
      );
    }
  });
  return rows;
}
