/** What of the circuit is shown, its legend, and its files: pictures, a table, and the JSON that MIB reads. */
import { byId, choice, html } from "./svg.js";
import { written } from "./scales.js";
import { pictureButtons, save, standalone, tableButton } from "./exports.js";
import { asMib } from "./mib.js";
import { isInside, measuredAt } from "./circuit_steps.js";

const SHOWN = [
  ["found", "found at a false-discovery rate of 5%"],
  ["stable", "found, and again on most resamples of the prompts"],
  ["all", "all that were measured, without that test"],
];

/**
 * @param {any} data
 * @param {any} state
 * @param {SVGSVGElement} picture
 * @param {number} largest effect, in nats
 */
export function circuitControls(data, state, picture, largest) {
  const view = state.get();
  const shown = choice("Paths", SHOWN, view.shown, (value) => state.set({ shown: value }));
  const range = html("input", {
    ...{ type: "range", min: 0, max: 1, step: 0.01, value: view.threshold, "aria-label": "Least effect that is shown" },
    oninput: (event) => state.set({ threshold: Number(event.target.value) }),
  });
  const least = html("output");
  const ghost = html("input", {
    type: "checkbox",
    checked: view.ghost,
    onchange: (event) => state.set({ ghost: event.target.checked }),
  });
  const file = `${data.name}_circuit`;
  const now = () => measuredAt(data, state.get().step);
  byId("circuit-controls").append(
    shown.label,
    html("label", {}, "Effects from", range, least),
    html("label", {}, ghost, "the measured checkpoint before, dotted"),
    ...pictureButtons(file, () => standalone(picture)),
    tableButton(`${data.name}_paths`, () => pathRows(data)),
    html(
      "button",
      {
        ...{ type: "button", class: "file" },
        title:
          "All measured paths of this checkpoint with their scores, as EAP-IG and the MIB benchmark read them; in " +
          "the circuit are those that are found (and stable, where that is chosen), whatever the least effect shown",
        onclick: () => save(`${file}_${data.circuit.steps[now()]}_mib.json`, mibNow(), "application/json"),
      },
      "MIB JSON",
    ),
  );
  const mibNow = () => {
    const at = now();
    return JSON.stringify(asMib(data.circuit, at, (number) => isInside(data.circuit, state.get().shown, at, number)));
  };
  state.subscribe((now, changed) => {
    if (changed.has("threshold")) least.textContent = `${written(now.threshold ** 2 * largest, 2)} nats`;
  });
}

/**
 * Every path at every checkpoint at which it is measured.
 * @param {any} data
 * @returns {(string | number | null)[][]}
 */
export function pathRows(data) {
  const found = data.circuit;
  const names = [
    "path",
    "source",
    "target",
    "input",
    "step",
    "million_tokens",
    "effect",
    "half_width_95",
    "p",
    "found",
  ];
  const rows = found.steps.flatMap((step, at) =>
    found.paths.map((path, number) => [
      ...[path.name, path.source, path.target, path.via, step, data.tokens[data.steps.indexOf(step)]],
      ...[found.effect[at][number], found.half[at][number], found.p[at][number], found.found[at][number]],
      step === data.steps.at(-1) ? path.frequency : null,
    ])
  );
  return [[...names, "frequency"], ...rows];
}

/**
 * @param {any} data
 */
export function circuitLegend(data) {
  const vias = new Set(data.circuit.paths.map(({ via }) => via));
  const items = Object.entries(data.colors.viaNames).filter(([via]) => vias.has(via)).map(([via, name]) => {
    const line = html("i");
    line.style.background = data.colors.via[via];
    return html("span", {}, line, name);
  });
  const found = data.circuit;
  const rest =
    `Faint at the last checkpoint: seldom found on ${found.draws} resamples of the prompts (frequencies are known ` +
    `there alone; two resamples share ${Math.round(100 * found.jaccard)}% of their paths). ` +
    `Effects in nats of logit difference.`;
  byId("circuit-legend").append(...items, html("span", {}, rest));
}
