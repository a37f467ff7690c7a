/** What is known of the path or the head that was clicked, over all measured checkpoints. */
import { byId, html } from "./svg.js";
import { latest, plusMinus, signed } from "./scales.js";

const INPUTS = { q: "queries", k: "keys", v: "values", output: "" };

/**
 * @param {any} data
 * @param {any} state
 */
export function details(data, state) {
  const panel = byId("details");
  state.subscribe((view, changed) => {
    if (!["chosen", "step", "pins", "removed"].some((name) => changed.has(name))) return;
    const number = data.circuit.paths.findIndex((path) => path.name === view.chosen);
    const head = data.heads.find((one) => one.name === view.chosen);
    if (number >= 0) panel.replaceChildren(...ofPath(data, state, view, number));
    else if (head) panel.replaceChildren(...ofHead(data, state, view, head));
    else {
      panel.replaceChildren(
        html("p", { class: "quiet" }, "Click a path or a head: its numbers over training stand here."),
      );
    }
  });
}

function ofPath(data, state, view, number) {
  const found = data.circuit;
  const path = found.paths[number];
  const rows = found.steps.map((step, at) =>
    html(
      "tr",
      {},
      html("td", {}, step === found.steps[latest(found.steps, view.step)] ? html("b", {}, `${step}`) : `${step}`),
      html("td", {}, plusMinus(found.effect[at][number], found.half[at][number])),
      html("td", {}, found.p[at][number].toPrecision(2)),
      html("td", {}, found.found[at][number] ? "yes" : "no"),
    )
  );
  const names = ["step", "effect (95%)", "p", "found"].map((name) => html("th", {}, name));
  return [
    html("h3", {}, `${path.source} → ${path.target} ${INPUTS[path.via]}`),
    html(
      "p",
      { class: "quiet" },
      `Change of the logit difference (nats) when this path alone is patched; negative where it carries the task. ` +
        `Found on ${Math.round(100 * path.frequency)}% of resamples at the last checkpoint.`,
    ),
    html("table", {}, html("tr", {}, ...names), ...rows),
    ...removal(data, state, view, path.name, "Cut this path in the text"),
  ];
}

function ofHead(data, state, view, head) {
  const found = data.circuit;
  const at = Math.max(0, latest(found.steps, view.step));
  const mine = found.paths
    .map((path, number) => ({ path, number }))
    .filter(({ path, number }) => [path.source, path.target].includes(head.name) && found.found[at][number]);
  mine.sort((one, other) => Math.abs(found.effect[at][other.number]) - Math.abs(found.effect[at][one.number]));
  const rows = mine
    .slice(0, 8)
    .map(({ path, number }) =>
      html(
        "tr",
        {},
        html("td", {}, html("button", { type: "button", onclick: () => state.set({ chosen: path.name }) }, path.name)),
        html("td", {}, signed(found.effect[at][number])),
      )
    );
  const pinned = view.pins.includes(head.name);
  return [
    html("h3", {}, `${head.name}${head.type ? `: ${head.type}` : ""}`),
    html(
      "p",
      { class: "quiet" },
      `Type at the last checkpoint. Its paths that were found at step ${found.steps[at]}, with their effects (nats):`,
    ),
    html("table", {}, ...rows),
    html(
      "p",
      {},
      html(
        "button",
        { type: "button", "aria-pressed": pinned, onclick: () => state.toggle("pins", head.name) },
        pinned ? "Pinned" : "Pin",
      ),
    ),
    ...removal(data, state, view, head.name, "Ablate it in the text"),
  ];
}

/** The switch that removes a part in the text below; nothing where the model is not alive. */
function removal(data, state, view, name, words) {
  if (data.live.reason) return [];
  const on = view.removed.includes(name);
  return [
    html(
      "p",
      {},
      html("button", { type: "button", "aria-pressed": on, onclick: () => state.toggle("removed", name) }, words),
    ),
  ];
}
