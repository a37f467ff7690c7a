/** What came out of a run: the mean loss, what is predicted, and which tokens changed most by what is removed. */
import { html } from "./svg.js";
import { signed, written } from "./scales.js";
import { likeliest } from "./losses.js";
import { table } from "./tables.js";
import { visible } from "./tokens.js";

const [PREDICTED, AFFECTED, ATTENDED] = [8, 6, 3]; // rows of the tables
const EXACT = "nats; computed here, without sampling error";

export function summaryOf({ step, tokens, clean, changed }, left, milliseconds) {
  if (tokens.length < 2) return "Type some text.";
  const before = mean(clean.losses.slice(1));
  const cut = left ? ` (the first ${tokens.length - 1} of ${tokens.length - 1 + left} tokens)` : "";
  const after = changed ? mean(changed.losses.slice(1)) : before;
  const rise = changed ? ` → ${written(after)} (${signed(after - before)}) with what is removed` : "";
  const time = `computed here at step ${step} in ${Math.round(milliseconds)} ms`;
  return `Mean loss ${written(before)} nats per token${rise}, ${tokens.length - 1} tokens${cut}; ${time}`;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The likeliest tokens after the chosen one, of the whole model and with what is removed. */
export function predictions(data, { tokens, clean, changed, chosen }, tokenizer, config) {
  const box = html("div");
  if (chosen < 0) return box;
  const code = (token) => html("code", {}, visible(tokenizer.decode(token)));
  const of = (run, heading) => {
    const rows = likeliest(run, config.vocabulary, chosen, PREDICTED).map(({ token, probability }) => [
      { show: code(token), value: tokenizer.decode(token) },
      {
        show: `${(100 * probability).toFixed(1)}%`,
        value: probability,
        about: "computed here, without sampling error",
      },
    ]);
    const file = `${data.name}_predictions_${heading.replaceAll(" ", "_")}`;
    return html("div", {}, table(file, [{ name: heading }, { name: "probability" }], rows));
  };
  const next = chosen + 1 < tokens.length ? ["; what follows is ", code(tokens[chosen + 1])] : [];
  const title = html("h3", {}, "Predicted after ", code(tokens[chosen]), ...next);
  const tables = [of(clean.run, "whole model"), ...(changed ? [of(changed.run, "with what is removed")] : [])];
  box.append(title, html("div", { class: "split" }, ...tables));
  return box;
}

/** The tokens whose loss changes most by what is removed. */
export function affected(data, { tokens, clean, changed }, tokenizer) {
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
      const token = tokenizer.decode(tokens[at]);
      const words = html("span", {}, html("code", {}, visible(before)), " ", html("b", {}, visible(token)));
      return [
        { show: words, value: before + token },
        { show: written(clean.losses[at]), value: clean.losses[at], about: EXACT },
        { show: signed(changes[at]), value: changes[at], about: EXACT },
      ];
    });
  const columns = [{ name: "token, after" }, { name: "loss (nats)", about: "of the whole model" }, { name: "change" }];
  return html("div", {}, html("h3", {}, "Most changed tokens"), table(`${data.name}_changed_tokens`, columns, rows));
}

/** Where the pinned heads look from the chosen token. */
export function attentionOfPins(data, view, { tokens, clean, changed, chosen }, tokenizer) {
  if (!view.pins.length || chosen < 0) return html("div");
  const run = (changed ?? clean).run;
  const rows = view.pins.flatMap((name) => {
    const from = run.patterns.get(name).subarray(chosen * tokens.length, chosen * tokens.length + chosen + 1);
    const order = [...from.keys()].sort((one, other) => from[other] - from[one]).slice(0, ATTENDED);
    return order.map((at) => [
      name,
      { show: html("code", {}, visible(tokenizer.decode(tokens[at]))), value: tokenizer.decode(tokens[at]) },
      { show: `${chosen - at}`, value: chosen - at, about: "tokens back" },
      { show: written(from[at]), value: from[at], about: "attention, from 0 to 1; computed here, without error" },
    ]);
  });
  const columns = [{ name: "head" }, { name: "looks at" }, { name: "back" }, { name: "attention" }];
  const title = html("h3", {}, "Pinned heads, from the chosen token");
  return html("div", {}, title, table(`${data.name}_pinned_attention`, columns, rows));
}
