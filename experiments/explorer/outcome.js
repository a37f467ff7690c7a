/** What came out of a run: the mean loss, what is predicted, and which tokens changed most by what is removed. */
import { html } from "./svg.js";
import { signed, written } from "./scales.js";
import { likeliest } from "./losses.js";
import { visible } from "./tokens.js";

const [PREDICTED, AFFECTED] = [8, 6]; // rows of the tables

export function summaryOf({ tokens, clean, changed }, left, milliseconds) {
  if (tokens.length < 2) return "Type some text.";
  const before = mean(clean.losses.slice(1));
  const cut = left ? ` (the first ${tokens.length - 1} of ${tokens.length - 1 + left} tokens)` : "";
  const after = changed ? mean(changed.losses.slice(1)) : before;
  const rise = changed ? ` → ${written(after)} (${signed(after - before)}) with what is removed` : "";
  const time = `computed here in ${Math.round(milliseconds)} ms`;
  return `Mean loss ${written(before)}${rise} nats per token, ${tokens.length - 1} tokens${cut}; ${time}`;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export function predictions({ tokens, clean, changed, chosen }, tokenizer, config) {
  const box = html("div");
  if (chosen < 0) return box;
  const table = (run, heading) => {
    const rows = likeliest(run, config.vocabulary, chosen, PREDICTED).map(({ token, probability }) =>
      html(
        "tr",
        {},
        html("td", {}, html("code", {}, visible(tokenizer.decode(token)))),
        html("td", {}, `${(100 * probability).toFixed(1)}%`),
      )
    );
    return html(
      "div",
      {},
      html("table", {}, html("tr", {}, html("th", {}, heading), html("th", {}, "probability")), ...rows),
    );
  };
  const next = chosen + 1 < tokens.length
    ? ["; what follows is ", html("code", {}, visible(tokenizer.decode(tokens[chosen + 1])))]
    : [];
  const title = html(
    "h3",
    {},
    "Predicted after ",
    html("code", {}, visible(tokenizer.decode(tokens[chosen]))),
    ...next,
  );
  const tables = [table(clean.run, "whole model"), ...(changed ? [table(changed.run, "with what is removed")] : [])];
  box.append(title, html("div", { class: "split" }, ...tables));
  return box;
}

/** The tokens whose loss changes most by what is removed. */
export function affected({ tokens, clean, changed }, tokenizer) {
  if (!changed) {
    return html(
      "div",
      { class: "quiet" },
      "Nothing is removed: ablate a head or cut a path to see which tokens it matters for.",
    );
  }
  const changes = tokens.map((_, at) => (at ? changed.losses[at] - clean.losses[at] : 0));
  const order = [...changes.keys()]
    .sort((one, other) => Math.abs(changes[other]) - Math.abs(changes[one]))
    .slice(0, AFFECTED);
  const rows = order
    .filter((at) => at > 0)
    .map((at) => {
      const before = tokens
        .slice(Math.max(0, at - 5), at)
        .map(tokenizer.decode)
        .join("");
      const words = html(
        "td",
        {},
        html("code", {}, visible(before)),
        " ",
        html("b", {}, visible(tokenizer.decode(tokens[at]))),
      );
      return html("tr", {}, words, html("td", {}, written(clean.losses[at])), html("td", {}, signed(changes[at])));
    });
  const names = ["token, after", "loss (nats)", "change"].map((name) => html("th", {}, name));
  return html("div", {}, html("h3", {}, "Most changed tokens"), html("table", {}, html("tr", {}, ...names), ...rows));
}
