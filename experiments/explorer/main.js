/** The page put together: the data is read, the view is taken from the address, and each panel follows it. */
import { byId, html } from "./svg.js";
import { makeState } from "./state.js";
import { isPart, makeLive } from "./live.js";
import { nearest } from "./scales.js";
import { makeTokenizer } from "./tokenizer.js";
import { scrubber } from "./scrubber.js";
import { circuit } from "./circuit.js";
import { strips } from "./strips.js";
import { text } from "./text.js";
import { tokenMap } from "./token_map.js";

const data = JSON.parse(byId("data").textContent);
const usual = {
  step: data.steps.at(-1),
  theme: "",
  ...{ shown: "found", threshold: 0.1, ghost: true, chosen: "" },
  ...{ pins: [], gauge: "trained" },
  ...{ weights: 0, removed: [], method: "mean" },
  ...{ look: "", color: "loss", example: 0, text: "", at: -1, token: -1 },
  ...{ source: "value", probe: -1, tint: "class", find: "" },
};
let waiting = 0;
const keep = (/** @type {string} */ hash) => {
  clearTimeout(waiting); // browsers allow only so many changes of the address a second
  waiting = setTimeout(() => history.replaceState(null, "", `#${hash}`), 250);
};
const state = makeState(usual, location.hash, keep, (tell) => requestAnimationFrame(tell));
state.set(known(state.get()));
addEventListener("hashchange", () => location.reload()); // an address that was typed or pasted: all of it anew

const dark = matchMedia("(prefers-color-scheme: dark)");
const paintTheme = () => {
  document.documentElement.dataset.theme = state.get().theme || (dark.matches ? "dark" : "light");
};
byId("theme").value = state.get().theme;
byId("theme").addEventListener("change", (/** @type {any} */ event) => state.set({ theme: event.target.value }));
dark.addEventListener("change", () => {
  paintTheme();
  dispatchEvent(new Event("resize")); // what is painted by hand is painted anew
});
state.subscribe(paintTheme);

byId("lead").textContent =
  `${data.heads.length} heads over ${data.steps.length} checkpoint${
    data.steps.length > 1 ? "s" : ""
  } of training; corpus ${data.corpus}.` +
  (data.note ? ` Note: ${data.note}.` : "") +
  (data.stages.reason ? ` Stages are not measured: ${data.stages.reason}.` : "");
byId("links").append(...Object.entries(data.links.pages).map(([title, href]) => html("a", { href }, title)));
const alive = data.live.reason ? null : living();
scrubber(data, state);
circuit(data, state, alive);
strips(data, state);
text(data, state, alive);
tokenMap(data, state, alive);

/** The model, its tokenizer, and which of its checkpoints a view shows: the one that is chosen, or the nearest. */
function living() {
  const steps = data.live.checkpoints.map((/** @type {any} */ one) => one.step);
  const number = (/** @type {number} */ step) => data.steps.indexOf(step);
  return {
    model: makeLive(data.live),
    tokenizer: makeTokenizer(data.live.tokenizer),
    stepOf: (/** @type {any} */ view) => view.weights || steps[nearest(steps.map(number), number(view.step))],
  };
}

/**
 * What of a view this run does not have, replaced by the usual.
 * @param {any} view
 */
function known(view) {
  const heads = data.heads.map((/** @type {any} */ head) => head.name);
  const live = data.live.reason ? [] : data.live.checkpoints.map((/** @type {any} */ one) => one.step);
  return {
    step: data.steps.includes(view.step) ? view.step : usual.step,
    weights: live.includes(view.weights) ? view.weights : usual.weights,
    pins: view.pins.filter((/** @type {string} */ name) => heads.includes(name)),
    removed: data.live.reason
      ? []
      : view.removed.filter((/** @type {string} */ name) => isPart(name, data.live.config)),
    method: view.method === "zero" ? "zero" : "mean",
    look: heads.includes(view.look) ? view.look : "",
    source: view.source === "noise" ? "noise" : "value",
    tint: heads.includes(view.tint) ? view.tint : "class",
    color: view.color === "change" ? "change" : "loss",
    at: Number.isInteger(view.at) ? view.at : -1,
  };
}
