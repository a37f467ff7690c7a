/**
 * The circuit at a checkpoint: heads in their layers, paths as wide as their effects, and behind them, dotted, the
 * paths of the measured checkpoint before.
 */
import { byId, pressed, svg } from "./svg.js";
import { details } from "./details.js";
import { circuitControls, circuitLegend } from "./circuit_controls.js";
import { isInside, measuredAt } from "./circuit_steps.js";
import { plusMinus } from "./scales.js";

const [COLUMN, ROW, BOX_WIDTH, BOX_HEIGHT, WIDEST] = [92, 118, 78, 34, 11];
const FAINTEST = 0.15; // opacity of a path that no resample of the prompts finds

/**
 * @param {any} data
 * @param {any} state
 * @param {any} alive the model and its tokenizer; null where it does not run here
 */
export function circuit(data, state, alive) {
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
  details(data, state, alive);
  let painted = "";
  state.subscribe((view, changed) => {
    const names = ["step", "threshold", "shown", "ghost", "chosen", "pins", "removed"];
    if (!names.some((name) => changed.has(name))) return;
    const at = measuredAt(data, view.step);
    if (changed.has("step")) {
      byId("circuit-lead").textContent = circuitLead(data, view.step, at);
      drawing.picture.classList.toggle("between", found.steps[at] !== view.step);
    }
    const key = JSON.stringify([at, ...names.slice(1).map((name) => view[name])]);
    if (key !== painted) paint(drawing, data, view, at, largest);
    painted = key;
  });
}

function circuitLead(data, step, at) {
  const found = data.circuit;
  const measured = found.steps[at];
  const other = measured === step
    ? ""
    : ` Paths are not measured at step ${step}: drawn in grey are those of step ${measured}, the nearest.`;
  return (
    `Which direct paths carry the ${found.task} task at step ${measured}. The wider a path, the more the ` +
    `logit difference falls when it alone is patched; dashed paths hurt. The model is right on ` +
    `${Math.round(100 * found.accuracy[at])}% of ${found.prompts} prompts.${other} Click a path or a head.`
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
  const hidden = { display: "none" };
  const ghosts = lines.map((d) => svg("path", { class: "ghost", d, ...hidden }));
  const strokes = paths.map((path, i) =>
    svg("path", { class: "path", d: lines[i], stroke: data.colors.via[path.via], ...hidden })
  );
  const titles = paths.map(() => svg("title"));
  const hits = paths.map((path, i) =>
    svg(
      "path",
      { class: "hit", d: lines[i], tabindex: 0, role: "button", ...hidden, ...choose(path.name) },
      titles[i],
    )
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
  return { picture, ghosts, strokes, hits, titles, boxes };
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

/** Whether a path is shown, by the switch and the threshold. */
function isShown(found, view, at, number, largest) {
  if (at < 0 || Math.abs(found.effect[at][number]) < view.threshold ** 2 * largest) return false;
  return view.shown === "all" || isInside(found, view.shown, at, number);
}

function paint({ ghosts, strokes, hits, titles, boxes }, data, view, at, largest) {
  const found = data.circuit;
  const isLast = found.steps[at] === data.steps.at(-1);
  const removed = new Set(view.removed);
  found.paths.forEach((path, number) => {
    const visible = isShown(found, view, at, number, largest);
    const chosen = view.chosen === path.name;
    show(strokes[number], visible || chosen);
    show(hits[number], visible || chosen);
    if (visible || chosen) {
      const effect = found.effect[at][number];
      const opacity = FAINTEST + (0.95 - FAINTEST) * (isLast ? path.frequency : 1);
      strokes[number].setAttribute("stroke-width", thickness(effect, largest));
      strokes[number].setAttribute("opacity", removed.has(path.name) ? 0.12 : opacity.toFixed(3));
      strokes[number].classList.toggle("hurts", effect > 0);
      hits[number].classList.toggle("chosen", chosen);
      const words = pathTold(found, at, number);
      hits[number].setAttribute("aria-label", words);
      titles[number].textContent = words;
    }
    const before = view.ghost && isShown(found, view, at - 1, number, largest);
    show(ghosts[number], before);
    if (before) ghosts[number].setAttribute("stroke-width", thickness(found.effect[at - 1][number], largest));
  });
  found.nodes.forEach((node, number) => {
    boxes[number].classList.toggle("is-pinned", view.pins.includes(node.name));
    boxes[number].classList.toggle("is-cut", removed.has(node.name));
    boxes[number].classList.toggle("chosen", view.chosen === node.name);
  });
}

/** Shows or hides an element where it is not so already: what does not change costs nothing. */
function show(part, visible) {
  if (part.isVisible === visible) return;
  part.isVisible = visible;
  part.setAttribute("display", visible ? "inline" : "none");
}

function pathTold(found, at, number) {
  const path = found.paths[number];
  const effect = plusMinus(found.effect[at][number], found.half[at][number]);
  return (
    `${path.name}: effect ${effect} nats of logit difference (95% confidence interval over ${found.prompts} prompts) at step ` +
    `${found.steps[at]}; found on ${Math.round(100 * path.frequency)}% of resamples at the last checkpoint`
  );
}

function thickness(effect, largest) {
  return Math.max(0.8, (WIDEST * Math.abs(effect)) / largest).toFixed(2);
}
