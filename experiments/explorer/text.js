/**
 * A text of held-out data or of the reader's own, run in the page: attention, predictions and losses, and what they are
 * when heads are ablated and paths are cut.
 */
import { byId, choice, html } from "./svg.js";
import { affected, attentionOfPins, predictions, summaryOf } from "./outcome.js";
import { pictureButtons, tableButton } from "./exports.js";
import { removals } from "./removals.js";
import { buttons, lookedAt, lookFrom, plain, tokenPicture, tokenRows } from "./tokens.js";

const [DELAY, SETTLED] = [150, 250]; // milliseconds after the last key, and after the last move along the curve

/**
 * @param {any} data
 * @param {any} state
 * @param {any} alive the model and its tokenizer; null where it does not run here
 */
export function text(data, state, alive) {
  if (!alive) {
    byId("text-lead").textContent = `The model is not alive in this page: ${data.live.reason}.`;
    return;
  }
  byId("text-lead").textContent =
    "The model itself runs here, on the text below. Point at a token to see where the chosen head looks from it " +
    "(filled) and which later tokens look at it (underlined); click it for what the model predicts after it. Ablate " +
    "heads and cut paths to see what changes.";
  const view = state.get();
  const parts = {
    box: html("textarea", { "aria-label": "Text", spellcheck: "false" }),
    summary: html("p", { class: "summary", "aria-live": "polite" }),
    tokens: html("div", { class: "tokens", role: "group", "aria-label": "Tokens" }),
    below: html("div", { class: "split" }),
    files: html("div", { class: "controls" }),
  };
  byId("text-body").append(
    html("div", { class: "controls" }, ...textChoices(data, state, view, parts.box, alive)),
    parts.box,
    removals(data, state),
    parts.summary,
    parts.tokens,
    parts.files,
    parts.below,
  );
  follow(data, state, alive, parts);
}

/** Choices of the example, the checkpoint, the head whose attention is shown, and the colours. */
function textChoices(data, state, view, box, { tokenizer }) {
  const example = (number) => data.live.examples[number].slice(1).map(tokenizer.decode).join("");
  const names = data.live.examples.map((_, number) => [
    `${number}`,
    number ? `held-out text ${number}` : "held-out text that repeats",
  ]);
  const shownText = (now) => now.text || (names.length ? example(Math.min(names.length - 1, now.example)) : "");
  box.value = shownText(view);
  let timer = 0;
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => state.set({ text: box.value, at: -1 }), DELAY);
  });
  const take = (value) => {
    box.value = example(Number(value));
    state.set({ example: Number(value), text: "", at: -1 });
  };
  state.subscribe((now, changed) => {
    if (changed.has("text") && now.text && box.value !== now.text) box.value = now.text;
  });
  const steps = [
    ["0", "the nearest checkpoint above"],
    ...data.live.checkpoints.map(({ step }) => [`${step}`, `step ${step}`]),
  ];
  const heads = data.heads.map(({ name, type }) => [name, type ? `${name} (${type})` : name]);
  const colors = [
    ["loss", "loss of each token"],
    ["change", "change of the loss by what is removed"],
  ];
  const color = choice("Colour", colors, view.color, (value) => state.set({ color: value }));
  state.subscribe((now) => (color.select.value = now.color));
  return [
    ...(names.length ? [choice("Example", names, `${view.example}`, take).label] : []),
    choice("Model of", steps, `${view.weights}`, (value) => state.set({ weights: Number(value) })).label,
    choice("Attention of", heads, lookedAt(data, view), (value) => state.set({ look: value })).label,
    color.label,
  ];
}

/** Runs the model whenever the text, the checkpoint or what is removed changes, and shows what comes out. */
function follow(data, state, { model, tokenizer, stepOf }, parts) {
  /** @type {any} */
  let shown = { tokens: [], clean: null, changed: null, chosen: -1, key: "" };
  const rerun = (view) => {
    const step = stepOf(view);
    const every = [tokenizer.first, ...tokenizer.encode(parts.box.value)];
    const tokens = every.slice(0, model.config.context);
    const start = performance.now();
    const key = `${step} ${tokens.join(" ")}`;
    const isOther = tokens.join(" ") !== shown.tokens.join(" ");
    const clean = key === shown.key ? shown.clean : model.run(step, tokens);
    const changed = view.removed.length ? model.run(step, tokens, view.removed, view.method) : null;
    shown = { step, tokens, clean, changed, chosen: -1, key };
    parts.summary.textContent = summaryOf(shown, every.length - tokens.length, performance.now() - start);
    const choose = (at) => state.set({ at, token: tokens[at] });
    const look = (at) => lookFrom(data, state.get(), shown, parts.tokens, at);
    if (isOther || !parts.tokens.children.length) buttons(tokens, tokenizer, parts.tokens, choose, look);
  };
  const refresh = (view) => {
    const last = shown.tokens.length - 1;
    shown.chosen = view.at < 0 ? last : Math.min(view.at, last);
    plain(view, shown, parts.tokens);
    const pinned = attentionOfPins(data, view, shown, tokenizer);
    const { config } = model;
    parts.below.replaceChildren(predictions(data, shown, tokenizer, config), affected(data, shown, tokenizer), pinned);
  };
  const file = `${data.name}_text`;
  parts.files.append(
    ...pictureButtons(file, () => tokenPicture(parts.tokens)),
    tableButton(file, () => tokenRows(shown, tokenizer)),
  );
  let timer = 0;
  state.subscribe((view, changed) => {
    const has = (...names) => names.some((name) => changed.has(name));
    const again = has("text", "example", "weights", "removed", "method");
    if (again) rerun(view);
    if (again || has("look", "color", "at", "pins")) refresh(view);
    if (again || !has("step") || view.weights) return;
    clearTimeout(timer); // while one moves along the curve, the model waits
    if (stepOf(view) === shown.step) return;
    timer = setTimeout(() => {
      rerun(state.get());
      refresh(state.get());
    }, SETTLED);
  });
}
