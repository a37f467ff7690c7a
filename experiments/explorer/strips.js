/** Every head over training: its learning coefficient with error bars, and where it looks. */
import { byId, choice, html, svg } from "./svg.js";
import { latest, linearScale, nearest, plusMinus, tokenScale, written } from "./scales.js";
import { pictureButtons, tableButton, together } from "./exports.js";
import { SCORES, stripRows } from "./strip_rows.js";

const STRIP = { width: 260, height: 78, left: 26, right: 252, top: 6, bottom: 62 };
const GAUGES = { trained: "weights as trained", balanced: "balanced gauge" };

/**
 * @param {any} data
 * @param {any} state
 */
export function strips(data, state) {
  const cards = data.heads.map((head, number) => strip(data, state, head, number));
  byId("strips").append(...cards.map((card) => card.root));
  stripControls(data, state, cards);
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
  const type = html("span", { class: "quiet" });
  const card = data.links.cards[head.name];
  const name = card ? html("a", { href: card, title: `Card of ${head.name}` }, head.name) : head.name;
  const title = html("header", {}, html("h3", {}, name), type, pin);
  const [rllc, scores] = [frame(x, "Learning coefficient"), frame(x, "Attention scores")];
  const rllcWords = html("p", { title: "refined local learning coefficient: no unit; 95% confidence interval" });
  const scoreWords = html("p", {
    title: "attention, from 0 to 1; 95% confidence intervals over rows of held-out text",
  });
  const parts = [title];
  if (!data.rllc.reason) parts.push(rllcWords, rllc.picture);
  if (!data.scores.reason) parts.push(scoreWords, scores.picture);
  if (!data.scores.reason) drawScores(data, scores, x, number);
  const root = html("section", { class: "strip", "aria-label": head.name }, ...parts);
  return {
    root,
    pin,
    pictures: [...(data.rllc.reason ? [] : [rllc.picture]), ...(data.scores.reason ? [] : [scores.picture])],
    drawRllc: (gauge) => data.rllc.reason || drawRllc(data, rllc, x, number, data.rllc[gauge] ? gauge : "trained"),
    moveTo: (view) => {
      const at = x.at(data.tokens[data.steps.indexOf(view.step)]).toFixed(1);
      for (const { marker } of [rllc, scores]) marker.setAttribute("transform", `translate(${at})`);
      [type.textContent, type.title] = typeAt(data, head.name, view.step);
      rllcWords.textContent = rllcNow(data, number, view);
      scoreWords.textContent = scoresNow(data, number, view);
    },
  };
}

/** The type at the nearest checkpoint at which types are known, and what is said of it. */
function typeAt(data, name, step) {
  const known = Object.keys(data.types).map(Number);
  if (!known.length) return ["", "types are not measured: devcircuits types"];
  const at = known[nearest(known.map((one) => data.steps.indexOf(one)), data.steps.indexOf(step))];
  const words = `type at step ${at}${at === step ? "" : "; types are not measured at this one"}`;
  return [data.types[at][name], words];
}

function frame(x, label) {
  const marker = svg("line", { class: "marker", x1: 0, x2: 0, y1: STRIP.top, y2: STRIP.bottom });
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
        svg("title", {}, `${SCORES[name]}, from 0 to 1`),
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
  const verdict = { trust: "trusted", "": "not sampled" }[found.verdict[number][at]] ?? found.verdict[number][at];
  return `rLLC ${plusMinus(found.value[number][at], found.half[number][at], 1)} at step ${found.steps[at]}, ${verdict}`;
}

function scoresNow(data, number, view) {
  if (data.scores.reason) return "";
  const at = data.steps.indexOf(view.step);
  const values = Object.keys(SCORES).map((name) =>
    plusMinus(data.scores[name][number][at], data.scores[`${name}_half`][number][at])
  );
  return `before ${values[0]}, itself ${values[1]}, prefix ${values[2]}`;
}

function stripControls(data, state, cards) {
  const settings = data.rllc.reason ? "" : ` (${data.rllc.trained.settings})`;
  const missing = [
    data.rllc.reason && `learning coefficients: ${data.rllc.reason}`,
    data.scores.reason && `attention: ${data.scores.reason}`,
  ];
  const known = Object.keys(data.types);
  const types = known.length ? ` Types beside the names are known at step ${known.join(", ")}.` : "";
  const remarks = missing.filter(Boolean).map((reason) => ` Not measured: ${reason}.`);
  byId("heads-lead").textContent =
    `Each head's refined local learning coefficient over training (no unit, with 95% confidence intervals${settings}; ` +
    `hollow where its health record has doubts; compare within a layer), and below it where it looks, from 0 to 1. ` +
    `Axes: million training tokens. Where the learning rate decays at the end of training, that raises the last ` +
    `coefficients.${types}${remarks.join("")}`;
  const legend = Object.entries(SCORES).map(([, words], i) => {
    const line = html("i");
    line.style.background = data.colors.lines[i];
    return html("span", {}, line, words);
  });
  const several = data.rllc.reason ? [] : Object.keys(data.rllc).map((name) => [name, GAUGES[name]]);
  const gauge = several.length > 1
    ? [choice("rLLC of", several, state.get().gauge, (value) => state.set({ gauge: value })).label]
    : [];
  const inOrder = () =>
    [...cards.keys()].sort((one, other) => cards[one].root.style.order - cards[other].root.style.order);
  const groups = () =>
    inOrder().map((number) => ({
      title: `${data.heads[number].name} ${data.heads[number].type}`,
      pictures: cards[number].pictures,
    }));
  byId("strip-controls").append(
    ...gauge,
    ...pictureButtons(`${data.name}_heads`, () => together(groups(), 4)),
    tableButton(`${data.name}_heads`, () => stripRows(data)),
    html("span", { class: "legend" }, ...legend),
  );
}
