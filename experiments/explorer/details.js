/** What is known of the path or the head that was clicked: over training, and on which tokens it matters. */
import { byId, html } from "./svg.js";
import { plusMinus, signed, written } from "./scales.js";
import { changesIn, search, strongest } from "./part_tokens.js";
import { effectCurve } from "./effect_curve.js";
import { measuredAt } from "./circuit_steps.js";
import { table } from "./tables.js";
import { visible } from "./tokens.js";

const INPUTS = { q: "queries", k: "keys", v: "values", output: "", mlp: "" };
const [PATHS, TOKENS] = [8, 8]; // rows of the tables
const BEFORE = 7; // tokens shown before one
const WAIT = 250; // milliseconds

/**
 * @param {any} data
 * @param {any} state
 * @param {any} alive the model and its tokenizer; null where it does not run here
 */
export function details(data, state, alive) {
  const numbers = html("div");
  const tokens = html("div");
  byId("details").append(numbers, tokens);
  const look = alive ? tokenSearch(data, state, alive, tokens) : () => {};
  state.subscribe((view, changed) => {
    const has = (...names) => names.some((name) => changed.has(name));
    const number = data.circuit.paths.findIndex((path) => path.name === view.chosen);
    const head = data.heads.find((one) => one.name === view.chosen);
    if (has("chosen")) byId("chosen").textContent = view.chosen && `Beside the circuit: ${view.chosen}`;
    if (has("chosen", "pins", "removed") || (has("step") && (head || number >= 0))) {
      if (number >= 0) numbers.replaceChildren(...ofPath(data, state, view, number));
      else if (head) numbers.replaceChildren(...ofHead(data, state, view, head));
      else {numbers.replaceChildren(
          html("p", { class: "quiet" }, "Click a path or a head: what is known of it stands here."),
        );}
    }
    if (has("chosen", "weights", "method", "step")) look(view, number >= 0 || Boolean(head));
  });
}

/**
 * What looks for the tokens of the chosen part, each time that it, or the model that is looked at, is another one: a
 * moment later, so that it does not stand in the way while one moves through training.
 */
function tokenSearch(data, state, alive, box) {
  let [sought, moved, end] = ["", 0, () => {}];
  const wait = () => moved + WAIT - performance.now();
  return (view, isThere) => {
    moved = performance.now();
    const key = isThere ? `${view.chosen} ${alive.stepOf(view)} ${view.method}` : "";
    if (key === sought) return;
    sought = key;
    end();
    if (!isThere || box.dataset.part !== view.chosen) box.replaceChildren();
    box.dataset.part = view.chosen;
    if (isThere) end = tokensOf(data, state, alive, view, box, wait);
  };
}

function ofPath(data, state, view, number) {
  const found = data.circuit;
  const path = found.paths[number];
  const now = measuredAt(data, view.step);
  const about = `nats of logit difference, 95% confidence interval over ${found.prompts} prompts`;
  const rows = found.steps.map((step, at) => [
    { show: at === now ? html("b", {}, `${step}`) : `${step}`, value: step },
    { show: plusMinus(found.effect[at][number], found.half[at][number]), value: found.effect[at][number], about },
    { show: found.p[at][number].toPrecision(2), value: found.p[at][number], about: "of no effect, by prompt" },
    found.found[at][number] ? "yes" : "no",
  ]);
  const columns = [
    { name: "step" },
    { name: "effect (95%)", about },
    { name: "p" },
    { name: "found", about: "at a false-discovery rate of 5% among all paths of the checkpoint" },
  ];
  return [
    html("h3", {}, `${path.source} → ${path.target} ${INPUTS[path.via]}`),
    html(
      "p",
      { class: "quiet" },
      `Change of the logit difference (nats) when this path alone is patched; negative where it carries the task. ` +
        `Found on ${Math.round(100 * path.frequency)}% of resamples at the last checkpoint.`,
    ),
    effectCurve(data, number, now),
    html(
      "details",
      {},
      html("summary", {}, `In numbers, at ${rows.length} checkpoints`),
      table(`${data.name}_${path.name.replace("->", "-")}`, columns, rows),
    ),
    removal(data, state, view, path.name, "Cut this path in the text"),
  ];
}

function ofHead(data, state, view, head) {
  const found = data.circuit;
  const at = measuredAt(data, view.step);
  const mine = found.paths
    .map((path, number) => ({ path, number }))
    .filter(({ path, number }) => [path.source, path.target].includes(head.name) && found.found[at][number]);
  mine.sort((one, other) => Math.abs(found.effect[at][other.number]) - Math.abs(found.effect[at][one.number]));
  const rows = mine.slice(0, PATHS).map(({ path, number }) => [
    {
      show: html("button", { type: "button", onclick: () => state.set({ chosen: path.name }) }, path.name),
      value: path.name,
    },
    {
      show: signed(found.effect[at][number]),
      value: found.effect[at][number],
      about: `${plusMinus(found.effect[at][number], found.half[at][number])} nats (95% confidence interval)`,
    },
  ]);
  const pinned = view.pins.includes(head.name);
  const toggle = () => state.toggle("pins", head.name);
  const card = data.links.cards[head.name];
  return [
    html("h3", {}, `${head.name}${head.type ? `: ${head.type}` : ""}`),
    html(
      "p",
      { class: "quiet" },
      `Its paths that are found at step ${found.steps[at]}, the strongest first, with their effects (nats):`,
    ),
    ...(rows.length
      ? [table(`${data.name}_${head.name}_paths`, [{ name: "path" }, { name: "effect" }], rows)]
      : [html("p", {}, "None.")]),
    html(
      "div",
      { class: "controls" },
      html("button", { type: "button", "aria-pressed": pinned, onclick: toggle }, pinned ? "Pinned" : "Pin"),
      removal(data, state, view, head.name, "Ablate it in the text"),
      ...(card ? [html("a", { href: card }, `Card of ${head.name}`)] : []),
    ),
  ];
}

/** The switch that removes a part in the text below; nothing where the model is not alive. */
function removal(data, state, view, name, words) {
  if (data.live.reason) return "";
  const on = view.removed.includes(name);
  return html("button", { type: "button", "aria-pressed": on, onclick: () => state.toggle("removed", name) }, words);
}

/** Fills a box with the tokens that the chosen part matters for most; returns what ends the search. */
function tokensOf(data, state, { model, tokenizer, stepOf }, view, box, wait) {
  const { texts } = data.live;
  const step = stepOf(view);
  const way = view.method === "zero" ? "zero ablation" : "mean ablation";
  const look = (text) => changesIn(model, texts[text], text, step, view.chosen, view.method);
  const tell = (found, done) => {
    if (done < texts.length && done % 4) return;
    const best = strongest(found, TOKENS);
    const rows = best.map((one) => tokenRow(texts[one.text], one, tokenizer, state, view.chosen));
    const columns = [
      { name: "token, after" },
      { name: "loss", about: "nats, of the whole model" },
      { name: "change", about: `nats, by ${way} of ${view.chosen}` },
    ];
    box.replaceChildren(
      html("h3", {}, "Tokens that it matters for most"),
      html(
        "p",
        { class: "quiet" },
        `Of ${found.length} tokens of ${done} held-out texts, those whose loss changes most under ${way} of it ` +
          `(model of step ${step}). Click one for its text.`,
      ),
      table(`${data.name}_${view.chosen.replace("->", "-")}_tokens`, columns, rows),
    );
  };
  return search(texts, look, tell, wait);
}

function tokenRow(tokens, { at, loss, change }, tokenizer, state, part) {
  const words = (from, to) => tokens.slice(from, to).map(tokenizer.decode).join("");
  const open = () => {
    const text = tokens.slice(1).map(tokenizer.decode).join("");
    const position = 1 + tokenizer.encode(words(1, at)).length;
    state.set({ text, at: position, color: "change", removed: [...new Set([...state.get().removed, part])] });
    byId("text-title").scrollIntoView({ block: "center" });
  };
  const before = words(Math.max(1, at - BEFORE), at);
  const show = html(
    "button",
    { type: "button", class: "context", onclick: open },
    html("code", {}, visible(before)),
    html("b", {}, visible(tokenizer.decode(tokens[at]))),
  );
  return [
    { show, value: before + tokenizer.decode(tokens[at]) },
    { show: written(loss), value: loss, about: "nats; computed here, without sampling error" },
    { show: signed(change), value: change, about: "nats; computed here, without sampling error" },
  ];
}
