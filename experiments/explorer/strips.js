/** Every head over training: its learning coefficient with error bars, and where it looks. */
import { byId, choice, html, svg } from "./svg.js";
import { latest, linearScale, plusMinus, tokenScale, written } from "./scales.js";
import { asCsv, save } from "./exports.js";

const STRIP = { width: 260, height: 78, left: 26, right: 252, top: 6, bottom: 62 };
const SCORES = {
  previous_token: "attention to the token before",
  current_token: "attention to the token itself",
  prefix_matching: "prefix matching",
};
const GAUGES = { trained: "weights as trained", balanced: "balanced gauge" };

/**
 * @param {any} data
 * @param {any} state
 */
export function strips(data, state) {
  const cards = data.heads.map((head, number) => strip(data, state, head, number));
  byId("strips").append(...cards.map((card) => card.root));
  stripControls(data, state);
  state.subscribe((view, changed) => {
    if (changed.has("gauge")) cards.forEach((card) => card.drawRllc(view.gauge));
    if (changed.has("step") || changed.has("gauge")) cards.forEach((card) => card.moveTo(view));
    if (changed.has("pins")) arrange(cards, data, view.pins);
  });
}

/** Pinned heads stand first, in the order in which they were pinned. */
function arrange(cards, data, pins) {
  const rank = (name) => (pins.includes(name) ? pins.indexOf(name) : pins.length);
  cards.forEach((card, number) => {
    const { name } = data.heads[number];
    card.root.style.order = rank(name);
    card.root.classList.toggle("is-pinned", pins.includes(name));
    card.pin.setAttribute("aria-pressed", pins.includes(name));
    card.pin.textContent = pins.includes(name) ? "Pinned" : "Pin";
  });
}

function strip(data, state, head, number) {
  const x = tokenScale(data.tokens, STRIP.left, STRIP.right);
  const pin = html("button", {
    type: "button",
    "aria-label": `Pin ${head.name}`,
    onclick: () => state.toggle("pins", head.name),
  });
  const title = html("header", {}, html("h3", {}, head.name), html("span", { class: "quiet" }, head.type), pin);
  const [rllc, scores] = [frame(x, "Learning coefficient"), frame(x, "Attention scores")];
  const [rllcWords, scoreWords] = [html("p"), html("p")];
  const parts = [title];
  if (!data.rllc.reason) parts.push(rllcWords, rllc.picture);
  if (!data.scores.reason) parts.push(scoreWords, scores.picture);
  if (!data.scores.reason) drawScores(data, scores, x, number);
  const root = html("section", { class: "strip", "aria-label": head.name }, ...parts);
  return {
    root,
    pin,
    drawRllc: (gauge) => data.rllc.reason || drawRllc(data, rllc, x, number, data.rllc[gauge] ? gauge : "trained"),
    moveTo: (view) => {
      const at = x.at(data.tokens[data.steps.indexOf(view.step)]);
      for (const { marker } of [rllc, scores]) {
        marker.setAttribute("x1", at);
        marker.setAttribute("x2", at);
      }
      rllcWords.textContent = rllcNow(data, number, view);
      scoreWords.textContent = scoresNow(data, number, view);
    },
  };
}

function frame(x, label) {
  const marker = svg("line", { class: "marker", y1: STRIP.top, y2: STRIP.bottom });
  const content = svg("g");
  const ticks = x.ticks.map((tick) =>
    svg("text", { x: x.at(tick), y: STRIP.bottom + 13, "text-anchor": "middle" }, `${tick}`)
  );
  const axis = svg("path", { class: "axis", d: `M${STRIP.left} ${STRIP.top}V${STRIP.bottom}H${STRIP.right}` });
  const box = { viewBox: `0 0 ${STRIP.width} ${STRIP.height}`, role: "img", "aria-label": label };
  return { picture: svg("svg", box, axis, ...ticks, content, marker), content, marker };
}

/** The heads of a layer share an axis, since their coefficients may be compared. */
function drawRllc(data, { content }, x, number, gauge) {
  const found = data.rllc[gauge];
  const layer = data.heads
    .map((head, other) => ({ head, other }))
    .filter(({ head }) => head.layer === data.heads[number].layer);
  const tops = layer.flatMap(({ other }) =>
    found.value[other].map((value, at) => (value ?? 0) + (found.half[other][at] ?? 0))
  );
  const lows = layer.flatMap(({ other }) =>
    found.value[other].map((value, at) => (value ?? 0) - (found.half[other][at] ?? 0))
  );
  const [low, high] = [Math.min(0, ...lows), Math.max(...tops)];
  const y = linearScale(low, high, STRIP.bottom, STRIP.top);
  const known = found.steps.map((step, at) => ({ step, at })).filter(({ at }) => found.value[number][at] !== null);
  const place = ({ step, at }) => [
    x.at(data.tokens[data.steps.indexOf(step)]),
    found.value[number][at],
    found.half[number][at] ?? 0,
  ];
  const points = known.map(place);
  content.replaceChildren(
    svg("path", {
      class: "curve",
      d: points.length ? `M${points.map(([px, value]) => `${px} ${y(value)}`).join("L")}` : "",
    }),
    ...points.map(([px, value, half]) =>
      svg("path", { class: "bar", d: `M${px} ${y(value - half)}V${y(value + half)}` })
    ),
    ...points.map(([px, value], i) => {
      const verdict = found.verdict[number][known[i].at];
      const words = `step ${known[i].step}: ${plusMinus(points[i][1], points[i][2])}, ${verdict}`;
      return svg(
        "circle",
        { class: verdict === "trust" ? "dot" : "dot doubt", cx: px, cy: y(value), r: 2.6 },
        svg("title", {}, words),
      );
    }),
    ...[low, high].map((end) =>
      svg("text", { x: STRIP.left - 3, y: y(end) + 4, "text-anchor": "end" }, written(end, 0))
    ),
  );
}

function drawScores(data, { content }, x, number) {
  const y = linearScale(0, 1, STRIP.bottom, STRIP.top);
  Object.keys(SCORES).forEach((name, i) => {
    const points = data.scores[name][number].map(
      (value, at) => `${x.at(data.tokens[at]).toFixed(1)} ${y(value).toFixed(1)}`,
    );
    content.append(
      svg(
        "path",
        { class: "score", stroke: data.colors.lines[i], d: `M${points.join("L")}` },
        svg("title", {}, SCORES[name]),
      ),
    );
  });
  content.append(
    ...[0, 1].map((end) => svg("text", { x: STRIP.left - 3, y: y(end) + 4, "text-anchor": "end" }, `${end}`)),
  );
}

function rllcNow(data, number, view) {
  if (data.rllc.reason) return "";
  const found = data.rllc[view.gauge] ?? data.rllc.trained;
  const at = latest(found.steps, view.step);
  if (at < 0) return "rLLC: sampled later only";
  const doubt = found.verdict[number][at] === "trust" ? "" : `, ${found.verdict[number][at] || "not sampled"}`;
  return `rLLC ${plusMinus(found.value[number][at], found.half[number][at], 1)} at step ${found.steps[at]}${doubt}`;
}

function scoresNow(data, number, view) {
  if (data.scores.reason) return "";
  const at = data.steps.indexOf(view.step);
  const values = Object.keys(SCORES).map((name) =>
    plusMinus(data.scores[name][number][at], data.scores[`${name}_half`][number][at])
  );
  return `before ${values[0]}, itself ${values[1]}, prefix ${values[2]}`;
}

function stripControls(data, state) {
  const settings = data.rllc.reason ? "" : ` (${data.rllc.trained.settings})`;
  const missing = [
    data.rllc.reason && `learning coefficients: ${data.rllc.reason}`,
    data.scores.reason && `attention: ${data.scores.reason}`,
  ];
  const remarks = missing.filter(Boolean).map((reason) => ` Not measured: ${reason}.`);
  byId("heads-lead").textContent =
    `Each head's refined local learning coefficient over training (no unit, with 95% intervals${settings}; ` +
    `hollow where its health record has doubts; compare within a layer), and below it where it looks, from 0 to 1. ` +
    `Axes: million training tokens. Where the learning rate decays at the end of training, that raises the last ` +
    `coefficients.${remarks.join("")}`;
  const legend = Object.entries(SCORES).map(([, words], i) => {
    const line = html("i");
    line.style.background = data.colors.lines[i];
    return html("span", {}, line, words);
  });
  const several = data.rllc.reason ? [] : Object.keys(data.rllc).map((name) => [name, GAUGES[name]]);
  const gauge = several.length > 1
    ? [choice("rLLC of", several, state.get().gauge, (value) => state.set({ gauge: value })).label]
    : [];
  const file = () => save(`${data.name}_heads.csv`, asCsv(stripRows(data)), "text/csv");
  byId("strip-controls").append(
    ...gauge,
    html("button", { type: "button", onclick: file }, "CSV"),
    html("span", { class: "legend" }, ...legend),
  );
}

/**
 * All curves as one table.
 * @param {any} data
 * @returns {(string | number | null)[][]}
 */
export function stripRows(data) {
  const rows = [["head", "type", "measure", "step", "million_tokens", "value", "half_width_95", "verdict"]];
  data.heads.forEach((head, number) => {
    const add = (measure, step, value, half, verdict) =>
      rows.push([head.name, head.type, measure, step, data.tokens[data.steps.indexOf(step)], value, half, verdict]);
    for (const gauge of data.rllc.reason ? [] : Object.keys(data.rllc)) {
      const found = data.rllc[gauge];
      found.steps.forEach((step, at) =>
        add(`rllc_${gauge}`, step, found.value[number][at], found.half[number][at], found.verdict[number][at])
      );
    }
    for (const name of data.scores.reason ? [] : Object.keys(SCORES)) {
      data.steps.forEach((step, at) =>
        add(name, step, data.scores[name][number][at], data.scores[`${name}_half`][number][at], "")
      );
    }
  });
  return rows;
}
