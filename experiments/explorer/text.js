/**
 * A text of held-out data or of the reader's own, run in the page: attention, predictions and losses, and what they are
 * when heads are ablated and paths are cut.
 */
import { byId, choice, html } from "./svg.js";
import { signed, written } from "./scales.js";
import { isPart, likeliest, makeLive } from "./live.js";
import { makeTokenizer } from "./tokenizer.js";

const DELAY = 150; // milliseconds after the last key
const [FULL_LOSS, FULL_CHANGE] = [8, 2]; // nats at which a colour is full
const [PREDICTED, AFFECTED] = [8, 6];
const METHODS = [
  ["mean", "its mean over held-out text"],
  ["zero", "zero"],
];

/**
 * @param {any} data
 * @param {any} state
 */
export function text(data, state) {
  if (data.live.reason) {
    byId("text-lead").textContent = `The model is not alive in this page: ${data.live.reason}.`;
    return;
  }
  byId("text-lead").textContent =
    "The model itself runs here, on the text below. Point at a token to see where the chosen head looks from it (filled) " +
    "and which later tokens look at it (underlined); click it for what the model predicts after it. Ablate heads and cut " +
    "paths to see what changes.";
  const [model, tokenizer] = [makeLive(data.live), makeTokenizer(data.live.tokenizer)];
  const view = state.get();
  const parts = {
    box: html("textarea", { "aria-label": "Text", spellcheck: "false" }),
    summary: html("p", { class: "summary", "aria-live": "polite" }),
    tokens: html("div", { class: "tokens", role: "group", "aria-label": "Tokens" }),
    below: html("div", { class: "split" }),
  };
  byId("text-body").append(
    html("div", { class: "controls" }, ...textChoices(data, state, view, parts.box, tokenizer)),
    parts.box,
    removals(data, state),
    parts.summary,
    parts.tokens,
    parts.below,
  );
  follow(data, state, model, tokenizer, parts);
}

/** Choices of the example, the checkpoint, the head whose attention is shown, and the colours. */
function textChoices(data, state, view, box, tokenizer) {
  const example = (number) => data.live.examples[number].slice(1).map(tokenizer.decode).join("");
  const names = data.live.examples.map((_, number) => [`${number}`, number ? `held-out text ${number}` : "held-out text that repeats"]);
  box.value = view.text || (names.length ? example(Math.min(names.length - 1, view.example)) : "");
  let timer = 0;
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => state.set({ text: box.value }), DELAY);
  });
  const take = (value) => {
    box.value = example(Number(value));
    state.set({ example: Number(value), text: "" });
  };
  const steps = data.live.checkpoints.map(({ step }) => [`${step}`, `step ${step}`]);
  const heads = data.heads.map(({ name, type }) => [name, type ? `${name} (${type})` : name]);
  const colors = [
    ["loss", "loss of each token"],
    ["change", "change of the loss by what is removed"],
  ];
  return [
    ...(names.length ? [choice("Example", names, `${view.example}`, take).label] : []),
    choice("Model of", steps, `${view.weights}`, (value) => state.set({ weights: Number(value) })).label,
    choice("Attention of", heads, lookedAt(data, view), (value) => state.set({ look: value })).label,
    choice("Colour", colors, view.color, (value) => state.set({ color: value })).label,
  ];
}

/** The head whose attention is shown: the chosen one, else an induction head, else the last. */
function lookedAt(data, view) {
  return view.look || (data.heads.find(({ type }) => type === "induction") ?? data.heads.at(-1)).name;
}

/** Switches for every head, a list of the paths that are cut, and a way to cut another. */
function removals(data, state) {
  const heads = data.heads.map(({ name, type }) =>
    html("button", { type: "button", title: type, onclick: () => state.toggle("removed", name) }, name),
  );
  const paths = html("span", { class: "chips" });
  const entry = html("input", { "aria-label": "Path to cut", placeholder: "L0H5->L1H4.k", size: 16, list: "paths" });
  const remark = html("span", { class: "quiet", role: "status" });
  const known = html("datalist", { id: "paths" }, ...(data.circuit.paths ?? []).map(({ name }) => html("option", { value: name })));
  const add = (event) => {
    event.preventDefault();
    const name = entry.value.trim();
    const isPath = name.includes("->") && isPart(name, data.live.config);
    remark.textContent = isPath ? "" : "A path is written as L0H5->L1H4.k (or .q, .v), embed->L1H4.q, or L0H5->output.";
    if (isPath && !state.get().removed.includes(name)) state.toggle("removed", name);
  };
  const form = html("form", { class: "controls", onsubmit: add }, entry, known, html("button", { type: "submit" }, "Cut this path"), paths, remark);
  const method = choice("In place of what is removed:", METHODS, state.get().method, (value) => state.set({ method: value }));
  const none = html("button", { type: "button", onclick: () => state.set({ removed: [] }) }, "Nothing removed");
  state.subscribe((view) => {
    heads.forEach((button) => button.setAttribute("aria-pressed", view.removed.includes(button.textContent)));
    const cut = view.removed.filter((name) => name.includes("->"));
    paths.replaceChildren(...cut.map((name) =>
      html("button", { type: "button", "aria-pressed": "true", title: "Click to restore it", onclick: () => state.toggle("removed", name) }, `${name} ×`)));
  });
  return html(
    "fieldset",
    {},
    html("legend", {}, "Removed: heads, and direct paths between them"),
    html("div", { class: "chips" }, ...heads),
    form,
    html("div", { class: "controls" }, method.label, none),
  );
}

/** Runs the model whenever the text, the checkpoint or what is removed changes, and shows what comes out. */
function follow(data, state, model, tokenizer, parts) {
  let shown = { tokens: [], clean: null, changed: null, chosen: -1, key: "" };
  const rerun = (view) => {
    const every = [tokenizer.first, ...tokenizer.encode(parts.box.value)];
    const tokens = every.slice(0, model.config.context);
    const start = performance.now();
    const key = `${view.weights} ${tokens.join(" ")}`;
    const clean = key === shown.key ? shown.clean : model.run(view.weights, tokens);
    const changed = view.removed.length ? model.run(view.weights, tokens, view.removed, view.method) : null;
    const chosen = key === shown.key ? shown.chosen : tokens.length - 1;
    shown = { tokens, clean, changed, chosen, key };
    parts.summary.textContent = summaryOf(shown, every.length - tokens.length, performance.now() - start);
    buttons(tokens, tokenizer, parts.tokens, (position) => {
      shown.chosen = position;
      refresh(state.get());
    }, (position) => lookFrom(data, state.get(), shown, parts.tokens, position));
  };
  const refresh = (view) => {
    plain(view, shown, parts.tokens);
    parts.below.replaceChildren(predictions(shown, tokenizer, model.config), affected(shown, tokenizer));
  };
  state.subscribe((view, changed) => {
    const again = ["text", "example", "weights", "removed", "method"].some((name) => changed.has(name));
    if (again) rerun(view);
    if (again || changed.has("look") || changed.has("color")) refresh(view);
  });
}

function summaryOf({ tokens, clean, changed }, left, milliseconds) {
  if (tokens.length < 2) return "Type some text.";
  const before = mean(clean.losses.slice(1));
  const cut = left ? ` (the first ${tokens.length - 1} of ${tokens.length - 1 + left} tokens)` : "";
  const after = changed ? mean(changed.losses.slice(1)) : before;
  const rise = changed ? ` → ${written(after)} (${signed(after - before)}) with what is removed` : "";
  return `Mean loss ${written(before)}${rise} nats per token, ${tokens.length - 1} tokens${cut}; computed here in ${Math.round(milliseconds)} ms`;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** One button for each token; arrow keys move between them. */
function buttons(tokens, tokenizer, box, choose, look) {
  const made = tokens.map((token, position) =>
    html(
      "button",
      {
        ...{ type: "button", class: "token", tabindex: position === tokens.length - 1 ? 0 : -1 },
        ...{ onclick: () => choose(position), onfocus: () => look(position), onblur: () => look(-1) },
        ...{ onpointerenter: () => look(position), onpointerleave: () => look(-1) },
      },
      visible(tokenizer.decode(token)),
    ),
  );
  box.replaceChildren(...made);
  box.onkeydown = (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const to = made[made.indexOf(event.target) + (way ?? 0)];
    if (!way || !to) return;
    event.preventDefault();
    made.forEach((button) => (button.tabIndex = button === to ? 0 : -1));
    to.focus();
  };
}

/** A token as it can be read: what is not to be seen gets a sign. */
function visible(token) {
  const marked = token.replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
  return marked.trim() ? marked : marked.replaceAll(" ", "·");
}

/** Tokens in the colour of their loss, or of its change: orange rises, blue falls. */
function plain(view, { clean, changed, chosen, tokens }, box) {
  Array.from(box.children).forEach((button, at) => {
    const change = changed ? changed.losses[at] - clean.losses[at] : 0;
    const [value, full] = view.color === "change" ? [change, FULL_CHANGE] : [clean.losses[at], FULL_LOSS];
    const depth = at ? Math.min(1, Math.abs(value) / full) * 0.75 : 0;
    button.style.background = `rgba(var(${value < 0 ? "--fall" : "--rise"}), ${depth.toFixed(3)})`;
    button.style.borderBottomColor = "transparent";
    button.classList.toggle("chosen", at === chosen);
    const words = changed ? `, ${signed(change)} by what is removed` : "";
    const label = at ? `${button.textContent}: loss ${written(clean.losses[at])} nats${words}` : `${button.textContent}: start of the text`;
    button.title = label;
    button.setAttribute("aria-label", `${label}, token ${at + 1} of ${tokens.length}`);
  });
}

/** Where the head looks from a position, as fillings, and which later tokens look at it, as lines below. */
function lookFrom(data, view, shown, box, position) {
  if (position < 0) return plain(view, shown, box);
  const pattern = (shown.changed ?? shown.clean).run.patterns.get(lookedAt(data, view));
  const length = shown.tokens.length;
  Array.from(box.children).forEach((button, at) => {
    const [from, to] = [at <= position ? pattern[position * length + at] : 0, at > position ? pattern[at * length + position] : 0];
    button.style.background = `rgba(var(--attend), ${from.toFixed(3)})`;
    button.style.borderBottomColor = `rgba(var(--fall), ${to.toFixed(3)})`;
  });
}

function predictions({ tokens, clean, changed, chosen }, tokenizer, config) {
  const box = html("div");
  if (chosen < 0) return box;
  const table = (run, heading) => {
    const rows = likeliest(run, config.vocabulary, chosen, PREDICTED).map(({ token, probability }) =>
      html("tr", {}, html("td", {}, html("code", {}, visible(tokenizer.decode(token)))), html("td", {}, `${(100 * probability).toFixed(1)}%`)),
    );
    return html("div", {}, html("table", {}, html("tr", {}, html("th", {}, heading), html("th", {}, "probability")), ...rows));
  };
  const next = chosen + 1 < tokens.length ? ["; what follows is ", html("code", {}, visible(tokenizer.decode(tokens[chosen + 1])))] : [];
  const title = html("h3", {}, "Predicted after ", html("code", {}, visible(tokenizer.decode(tokens[chosen]))), ...next);
  const tables = [table(clean.run, "whole model"), ...(changed ? [table(changed.run, "with what is removed")] : [])];
  box.append(title, html("div", { class: "split" }, ...tables));
  return box;
}

/** The tokens whose loss changes most by what is removed. */
function affected({ tokens, clean, changed }, tokenizer) {
  if (!changed) return html("div", { class: "quiet" }, "Nothing is removed: ablate a head or cut a path to see which tokens it matters for.");
  const changes = tokens.map((_, at) => (at ? changed.losses[at] - clean.losses[at] : 0));
  const order = [...changes.keys()].sort((one, other) => Math.abs(changes[other]) - Math.abs(changes[one])).slice(0, AFFECTED);
  const rows = order.filter((at) => at > 0).map((at) => {
    const before = tokens.slice(Math.max(0, at - 5), at).map(tokenizer.decode).join("");
    const words = html("td", {}, html("code", {}, visible(before)), " ", html("b", {}, visible(tokenizer.decode(tokens[at]))));
    return html("tr", {}, words, html("td", {}, written(clean.losses[at])), html("td", {}, signed(changes[at])));
  });
  const names = ["token, after", "loss (nats)", "change"].map((name) => html("th", {}, name));
  return html("div", {}, html("h3", {}, "Most changed tokens"), html("table", {}, html("tr", {}, ...names), ...rows));
}
