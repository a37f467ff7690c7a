/** The page put together: the data is read, the view is taken from the address, and each panel follows it. */
import { byId } from "./svg.js";
import { makeState } from "./state.js";
import { isPart } from "./live.js";
import { scrubber } from "./scrubber.js";
import { circuit } from "./circuit.js";
import { strips } from "./strips.js";
import { text } from "./text.js";

const data = JSON.parse(byId("data").textContent);
const usual = {
  step: data.steps.at(-1),
  theme: "",
  ...{ shown: "found", threshold: 0.1, ghost: true, chosen: "" },
  ...{ pins: [], gauge: "trained" },
  ...{ weights: data.live.reason ? 0 : data.live.checkpoints.at(-1).step, removed: [], method: "mean" },
  ...{ look: "", color: "loss", example: 0, text: "" },
};
let waiting = 0;
const state = makeState(usual, location.hash, (hash) => {
  clearTimeout(waiting); // browsers allow only so many changes of the address a second
  waiting = setTimeout(() => history.replaceState(null, "", `#${hash}`), 250);
});
state.set(known(state.get()));
addEventListener("hashchange", () => location.reload()); // an address that was typed or pasted: all of it anew

const dark = matchMedia("(prefers-color-scheme: dark)");
const paintTheme = () => {
  document.documentElement.dataset.theme = state.get().theme || (dark.matches ? "dark" : "light");
};
byId("theme").value = state.get().theme;
byId("theme").addEventListener("change", (/** @type {any} */ event) => state.set({ theme: event.target.value }));
dark.addEventListener("change", paintTheme);
state.subscribe(paintTheme);

byId("lead").textContent =
  `${data.heads.length} heads over ${data.steps.length} checkpoint${
    data.steps.length > 1 ? "s" : ""
  } of training; corpus ${data.corpus}.` +
  (data.note ? ` Note: ${data.note}.` : "") +
  (data.stages.reason ? ` Stages are not measured: ${data.stages.reason}.` : "");
scrubber(data, state);
circuit(data, state);
strips(data, state);
text(data, state);

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
  };
}
