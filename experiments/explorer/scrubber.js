/** The training-loss curve with its checkpoints and stages, on which one moves through training. */
import { byId, svg } from "./svg.js";
import { pictureButtons, standalone, tableButton } from "./exports.js";
import { linearScale, plusMinus, tokenScale, written } from "./scales.js";

const [HEIGHT, LEFT, TOP, BOTTOM] = [168, 42, 24, 126];
const [NARROWEST, BROADEST] = [340, 1200]; // units of the picture's width, which is that of the page
const LETTER = 7; // units that a letter of a label takes
const PAUSE = 700; // milliseconds between checkpoints while it plays

/**
 * @param {any} data of the run
 * @param {any} state
 */
export function scrubber(data, state) {
  const width = Math.max(NARROWEST, Math.min(BROADEST, byId("curve").clientWidth));
  const right = width - 12;
  const x = tokenScale(data.tokens, LEFT, right);
  const held = data.scores.loss ?? [];
  const losses = [...data.history.loss, ...held].filter((value) => value !== null);
  const y = linearScale(Math.min(...losses), Math.max(...losses), BOTTOM, TOP);
  const places = data.tokens.map(x.at);
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`,
    role: "img",
    "aria-label": "Loss over training, with checkpoints and stages",
  });
  picture.append(...axes(x, y, losses, right), ...stages(data, x, right));
  if (data.history.loss.length) picture.append(noted(data.history, x, y));
  const dots = places.map((place, number) => {
    const top = held[number] === undefined ? BOTTOM : y(held[number]);
    return svg("circle", { class: "dot", cx: place, cy: top, r: 3.5 }, svg("title", {}, told(data, number)));
  });
  const marker = svg("line", { class: "marker", x1: 0, x2: 0, y1: TOP - 6, y2: BOTTOM });
  picture.append(marker, ...dots);
  byId("curve").append(picture);
  dragged(picture, places, state, data, width);
  controls(data, state);
  byId("curve-files").append(
    ...pictureButtons(`${data.name}_training`, () => standalone(picture)),
    tableButton(`${data.name}_training`, () => lossRows(data)),
  );
  let last = dots[0];
  state.subscribe((view, changed) => {
    if (!changed.has("step")) return;
    const number = data.steps.indexOf(view.step);
    marker.setAttribute("transform", `translate(${places[number]})`);
    last.classList.remove("here");
    last = dots[number];
    last.classList.add("here");
  });
}

/**
 * All losses as one table.
 * @param {any} data
 * @returns {(string | number | null)[][]}
 */
export function lossRows(data) {
  const { history, scores, stages } = data;
  const noted = history.tokens.map((tokens, at) => ["training text", tokens, history.loss[at], null]);
  const held = (scores.loss ?? []).map((loss, at) => ["held-out text", data.tokens[at], loss, scores.loss_half[at]]);
  const onsets = (Array.isArray(stages) ? stages : []).flatMap(({ name, tokens, low, high }) => [
    [`onset of ${name}`, tokens, null, null],
    [`onset of ${name}, low end`, low, null, null],
    [`onset of ${name}, high end`, high, null, null],
  ]);
  return [["what", "million_tokens", "loss_nats", "half_width_95"], ...noted, ...held, ...onsets];
}

/** @returns {string} a checkpoint in words */
function told(data, number) {
  const loss = data.scores.loss
    ? `, held-out loss ${plusMinus(data.scores.loss[number], data.scores.loss_half[number])} nats per token`
    : "";
  return `step ${data.steps[number]}, ${written(data.tokens[number], 1)} million tokens${loss}`;
}

function axes(x, y, losses, right) {
  const marks = x.ticks.map((tick) =>
    svg("text", { x: x.at(tick), y: BOTTOM + 15, "text-anchor": "middle" }, `${tick}`)
  );
  const ends = losses.length ? [Math.min(...losses), Math.max(...losses)] : [];
  return [
    svg("path", { class: "axis", d: `M${LEFT} ${TOP}V${BOTTOM}H${right}` }),
    ...marks,
    svg("text", { class: "quiet", x: right, y: HEIGHT - 8, "text-anchor": "end" }, "million training tokens"),
    ...ends.map((end) => svg("text", { x: LEFT - 5, y: y(end) + 4, "text-anchor": "end" }, written(end, 1))),
    svg("text", { class: "quiet", x: 2, y: 10 }, "loss (nats)"),
  ];
}

function noted(history, x, y) {
  const points = history.tokens.map(
    (tokens, number) => `${x.at(tokens).toFixed(1)} ${y(history.loss[number]).toFixed(1)}`,
  );
  return svg("path", { class: "curve", d: `M${points.join("L")}` });
}

/** Onsets of the stages, as lines with their intervals; a label stands lower where it would meet the one before. */
function stages(data, x, right) {
  if (!Array.isArray(data.stages)) return [];
  const inOrder = [...data.stages].sort((one, other) => one.tokens - other.tokens);
  return inOrder.flatMap((stage, number) => {
    const [at, low, high] = [stage.tokens, stage.low, stage.high].map(x.at);
    const beside = at + LETTER * stage.name.length < right ? { x: at + 4 } : { x: at - 4, "text-anchor": "end" };
    const interval = `95% confidence interval ${written(stage.low, 1)} to ${written(stage.high, 1)}`;
    const words = `onset of ${stage.name}: ${written(stage.tokens, 1)} million tokens (${interval})`;
    return [
      svg(
        "rect",
        { class: "band", x: low, y: TOP, width: Math.max(1, high - low), height: BOTTOM - TOP },
        svg("title", {}, words),
      ),
      svg("line", { class: "stage", x1: at, x2: at, y1: TOP, y2: BOTTOM }),
      svg("text", { class: "quiet", ...beside, y: TOP + 9 + 14 * (number % 4) }, stage.name),
    ];
  });
}

/** The nearest checkpoint to where the pointer is, while it is down. */
function dragged(picture, places, state, data, width) {
  let down = false;
  const follow = (event) => {
    const box = picture.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    const gaps = places.map((place) => Math.abs(place - at));
    state.set({ step: data.steps[gaps.indexOf(Math.min(...gaps))] });
  };
  picture.addEventListener("pointerdown", (event) => {
    down = true;
    picture.setPointerCapture(event.pointerId);
    follow(event);
  });
  picture.addEventListener("pointermove", (event) => down && follow(event));
  for (const end of ["pointerup", "pointercancel"]) picture.addEventListener(end, () => (down = false));
}

function controls(data, state) {
  const [range, play, readout] = [byId("checkpoint"), byId("play"), byId("readout")];
  const last = data.steps.length - 1;
  let timer = 0;
  const number = () => data.steps.indexOf(state.get().step);
  const go = (to) => state.set({ step: data.steps[Math.max(0, Math.min(last, to))] });
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  };
  const start = () => {
    if (number() === last) go(0);
    timer = setInterval(() => (number() === last ? stop() : go(number() + 1)), PAUSE);
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
  };
  range.max = last;
  range.addEventListener("input", () => go(Number(range.value)));
  play.addEventListener("click", () => (timer ? stop() : start()));
  document.addEventListener("keydown", (/** @type {any} */ event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input, select, textarea, .tokens, #map canvas")) return;
    event.preventDefault();
    go(number() + way);
  });
  state.subscribe((_, changed) => {
    if (!changed.has("step")) return;
    range.value = number();
    range.setAttribute("aria-valuetext", told(data, number()));
    readout.textContent = told(data, number());
  });
}
