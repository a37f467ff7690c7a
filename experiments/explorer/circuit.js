/**
 * The circuit at a checkpoint: heads in their layers, paths as wide as their effects, and behind them, dotted, the
 * paths of the measured checkpoint before.
 */
import { byId, choice, html, pressed, svg } from "./svg.js";
import { details } from "./details.js";
import { latest, plusMinus, written } from "./scales.js";
import { asPng, asSvg, save } from "./exports.js";

const [COLUMN, ROW, BOX_WIDTH, BOX_HEIGHT, WIDEST] = [92, 118, 78, 34, 11];
const FAINTEST = 0.15; // opacity of a path that no resample of the prompts finds
const SHOWN = [
  ["found", "found at a false-discovery rate of 5%"],
  ["stable", "and found on most resamples of the prompts"],
  ["all", "all that were measured"],
];

/**
 * @param {any} data
 * @param {any} state
 */
export function circuit(data, state) {
  const found = data.circuit;
  if (found.reason) {
    byId("circuit-lead").textContent = `Not measured: ${found.reason}.`;
    byId("circuit-body").remove();
    return;
  }
  const largest = Math.max(...found.effect.flat().map(Math.abs));
  const drawing = drawn(data, state);
  byId("circuit").append(drawing.picture);
  circuitControls(data, state, drawing.picture, largest);
  circuitLegend(data);
  details(data, state);
  state.subscribe((view, changed) => {
    const names = ["step", "threshold", "shown", "ghost", "chosen", "pins", "removed"];
    if (!names.some((name) => changed.has(name))) return;
    const at = latest(found.steps, view.step);
    if (changed.has("step")) byId("circuit-lead").textContent = circuitLead(data, view.step, at);
    paint(drawing, data, view, at, largest);
  });
}

function circuitLead(data, step, at) {
  const found = data.circuit;
  const measured = found.steps[Math.max(0, at)];
  const other = measured === step ? "" : ` (the last measured up to step ${step})`;
  return (
    `Which direct paths carry the ${found.task} task at step ${measured}${other}. The wider a path, the more the ` +
    `logit difference falls when it alone is patched; dashed paths hurt. The model is right on ` +
    `${Math.round(100 * found.accuracy[Math.max(0, at)])}% of ${found.prompts} prompts. Click a path or a head.`
  );
}

/** All elements, once; `paint` only changes them. */
function drawn(data, state) {
  const { nodes, paths } = data.circuit;
  const height = Math.max(...nodes.map((node) => node.y));
  /** @returns {[number, number]} */
  const place = (x, y) => [(x + 0.5) * COLUMN, (height - y + 0.5) * ROW - 20];
  const width = (Math.max(...nodes.map((node) => node.x)) + 1) * COLUMN;
  const lines = paths.map((path) => {
    const points = [0, 2, 4, 6].map((i) =>
      place(path.curve[i], path.curve[i + 1])
        .map((v) => v.toFixed(1))
        .join(" ")
    );
    return `M${points[0]}C${points.slice(1).join(",")}`;
  });
  const choose = (name) => pressed(() => state.set({ chosen: state.get().chosen === name ? "" : name }));
  const ghosts = lines.map((d) => svg("path", { class: "ghost", d }));
  const strokes = paths.map((path, i) =>
    svg("path", { class: "path", d: lines[i], stroke: data.colors.via[path.via] })
  );
  const hits = paths.map((path, i) =>
    svg("path", {
      class: "hit",
      d: lines[i],
      tabindex: 0,
      role: "button",
      "aria-label": path.name,
      ...choose(path.name),
    })
  );
  const boxes = nodes.map((node) => box(node, place(node.x, node.y), data, choose(node.name)));
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${(height + 1) * ROW - 40}`, role: "group", "aria-label": "Circuit" },
    svg("g", {}, ...ghosts),
    svg("g", {}, ...strokes),
    svg("g", {}, ...hits),
    ...boxes,
  );
  return { picture, ghosts, strokes, hits, boxes };
}

function box(node, [x, y], data, attributes) {
  const head = data.heads.find((one) => one.name === node.name);
  const type = head?.type ? [svg("text", { class: "type", x, y: y + 12 }, head.type)] : [];
  const about = head ? { ...attributes, tabindex: 0, role: "button", "aria-label": `${node.name} ${head.type}` } : {};
  return svg(
    "g",
    { class: head ? "node" : "node is-fixed", ...about },
    svg("rect", { x: x - BOX_WIDTH / 2, y: y - BOX_HEIGHT / 2, width: BOX_WIDTH, height: BOX_HEIGHT, rx: 6 }),
    svg("text", { class: "name", x, y: type.length ? y - 1 : y + 4 }, node.name),
    ...type,
  );
}

/** Whether a path is shown, by the switches. */
function isShown(found, view, at, number, largest) {
  if (at < 0 || Math.abs(found.effect[at][number]) < view.threshold ** 2 * largest) return false;
  if (view.shown === "all") return true;
  return found.found[at][number] && (view.shown !== "stable" || found.paths[number].frequency >= found.stable);
}

function paint({ ghosts, strokes, hits, boxes }, data, view, at, largest) {
  const found = data.circuit;
  found.paths.forEach((path, number) => {
    const visible = isShown(found, view, at, number, largest);
    strokes[number].setAttribute("display", visible ? "inline" : "none");
    hits[number].setAttribute("display", visible ? "inline" : "none");
    hits[number].classList.toggle("chosen", view.chosen === path.name);
    if (visible) {
      const effect = found.effect[at][number];
      const often = at === found.steps.length - 1 ? path.frequency : 1;
      strokes[number].setAttribute("stroke-width", thickness(effect, largest));
      strokes[number].setAttribute(
        "opacity",
        view.removed.includes(path.name) ? 0.12 : FAINTEST + (0.95 - FAINTEST) * often,
      );
      strokes[number].classList.toggle("hurts", effect > 0);
      hits[number].setAttribute("aria-label", `${path.name}: effect ${plusMinus(effect, found.half[at][number])}`);
    }
    const before = view.ghost && isShown(found, view, at - 1, number, largest);
    ghosts[number].setAttribute("display", before ? "inline" : "none");
    if (before) ghosts[number].setAttribute("stroke-width", thickness(found.effect[at - 1][number], largest));
  });
  found.nodes.forEach((node, number) => {
    boxes[number].classList.toggle("is-pinned", view.pins.includes(node.name));
    boxes[number].classList.toggle("is-cut", view.removed.includes(node.name));
    boxes[number].classList.toggle("chosen", view.chosen === node.name);
  });
}

function thickness(effect, largest) {
  return Math.max(0.8, (WIDEST * Math.abs(effect)) / largest).toFixed(2);
}

function circuitControls(data, state, picture, largest) {
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
  byId("circuit-controls").append(
    shown.label,
    html("label", {}, "Effects from", range, least),
    html("label", {}, ghost, "the checkpoint before, dotted"),
    html("button", { type: "button", onclick: () => save(`${file}.svg`, asSvg(picture), "image/svg+xml") }, "SVG"),
    html(
      "button",
      { type: "button", onclick: async () => save(`${file}.png`, await asPng(picture), "image/png") },
      "PNG",
    ),
  );
  state.subscribe((now) => (least.textContent = written(now.threshold ** 2 * largest, 2)));
}

function circuitLegend(data) {
  const items = Object.entries(data.colors.viaNames).map(([via, name]) => {
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
