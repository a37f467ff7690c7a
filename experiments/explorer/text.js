/**
 * A text of held-out data or of the reader's own, run in the page: attention, predictions and losses, and what they are
 * when heads are ablated and paths are cut.
 */
import { byId, choice, html } from "./svg.js";
import { makeLive } from "./live.js";
import { affected, predictions, summaryOf } from "./outcome.js";
import { removals } from "./removals.js";
import { buttons, lookedAt, lookFrom, plain } from "./tokens.js";
import { makeTokenizer } from "./tokenizer.js";

const DELAY = 150; // milliseconds after the last key

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
    "The model itself runs here, on the text below. Point at a token to see where the chosen head looks from it " +
    "(filled) and which later tokens look at it (underlined); click it for what the model predicts after it. Ablate " +
    "heads and cut paths to see what changes.";
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
  const names = data.live.examples.map((_, number) => [
    `${number}`,
    number ? `held-out text ${number}` : "held-out text that repeats",
  ]);
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

/** Runs the model whenever the text, the checkpoint or what is removed changes, and shows what comes out. */
function follow(data, state, model, tokenizer, parts) {
  /** @type {any} */
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
    buttons(
      tokens,
      tokenizer,
      parts.tokens,
      (position) => {
        shown.chosen = position;
        refresh(state.get());
      },
      (position) => lookFrom(data, state.get(), shown, parts.tokens, position),
    );
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
