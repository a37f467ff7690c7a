/**
 * Held-out tokens by the heads' susceptibilities: a point each, coloured by what it looks like or by one head's values,
 * linked both ways with the text above and with the heads.
 */
import { byId, choice, html } from "./svg.js";
import { written } from "./scales.js";
import { pictureButtons, tableButton } from "./exports.js";
import { nearestPoint, tintOf, unpacked } from "./map_data.js";
import { mapPicture, places, repaint } from "./map_picture.js";
import { headsOf, wordsOf } from "./map_words.js";
import { visible } from "./tokens.js";

const SOURCES = [["value", "the posterior"], ["noise", "Gaussian draws, which the loss has no influence on"]];
const NEAR = 10; // pixels

/**
 * @param {any} data
 * @param {any} state
 * @param {any} alive the model and its tokenizer; null where it does not run here
 */
export function tokenMap(data, state, alive) {
  const map = data.map;
  if (map.reason) {
    byId("map-lead").textContent = `Not measured: ${map.reason}.`;
    byId("map-body").remove();
    return;
  }
  byId("map-lead").textContent =
    `Each point is a held-out token at step ${map.step}, placed by the first two components of the heads' ` +
    `susceptibilities: tokens that the same heads express or suppress lie together. Compare with Gaussian draws: what ` +
    `looks the same there is no effect of the loss. Point at a token, or click it. Axes in standard deviations, ` +
    `logarithmic beyond 1.`;
  const whole = unpacked(map);
  const canvas = html("canvas", { tabindex: 0, role: "img", "aria-describedby": "map-readout" });
  const readout = html("p", { id: "map-readout", class: "quiet", "aria-live": "polite" });
  const legend = html("div", { class: "legend" });
  const heads = html("aside", { "aria-label": "The token that was clicked, and the heads" });
  const wide = html("div", { class: "wide" }, canvas, readout, legend);
  byId("map-body").append(mapControls(data, state, alive), html("div", { class: "split" }, wide, heads));
  /** @type {any} */
  let shown = null;
  const draw = (view) => {
    const unit = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16; // larger on very wide screens
    const width = Math.round(Math.max(280, Math.min(760, wide.clientWidth / unit)));
    shown = places(map, whole, view.source, width);
    repaint(canvas, shown, colorsOf(map, whole, view), marked(whole, view, alive), unit);
    canvas.setAttribute("aria-label", `Map of ${whole.count} tokens; arrow keys go from token to token`);
  };
  pointed(
    canvas,
    state,
    () => shown,
    (probe) => (readout.textContent = wordsOf(map, whole, state.get(), alive, probe)),
  );
  addEventListener("resize", () => draw(state.get()));
  byId("map-files").append(
    ...pictureButtons(`${data.name}_token_map`, () => {
      const view = state.get();
      return mapPicture(shown, colorsOf(map, whole, view), marked(whole, view, alive));
    }),
    tableButton(`${data.name}_token_map`, () => mapRows(map, whole, alive)),
  );
  state.subscribe((view, changed) => {
    const has = (...names) => names.some((name) => changed.has(name));
    if (has("source", "tint", "probe", "token", "find", "theme")) draw(view);
    if (has("source", "probe")) readout.textContent = wordsOf(map, whole, view, alive, view.probe);
    if (has("tint")) mapLegend(map, view, legend);
    if (has("source", "probe", "pins", "tint")) {
      heads.replaceChildren(...headsOf(data, map, whole, state, alive));
    }
  });
}

function mapControls(data, state, alive) {
  const view = state.get();
  const source = choice("Map of", SOURCES, view.source, (value) => state.set({ source: value }));
  const tints = [["class", "what a token looks like"], ...data.map.heads.map((name) => [name, `values of ${name}`])];
  const tint = choice("Colour", tints, view.tint, (value) => state.set({ tint: value }));
  state.subscribe((now, changed) => {
    if (changed.has("tint")) tint.select.value = now.tint;
  });
  const find = html("input", {
    ...{ type: "search", value: view.find, size: 10, "aria-label": "Mark tokens that read like this" },
    oninput: (event) => state.set({ find: event.target.value }),
  });
  const from = html("button", { type: "button", onclick: () => state.set({ token: -1, find: "" }) }, "Nothing marked");
  state.subscribe((now, changed) => {
    if (changed.has("find") && find.value !== now.find) find.value = now.find;
  });
  return html(
    "div",
    { class: "controls" },
    source.label,
    tint.label,
    ...(alive ? [html("label", {}, "Mark", find), from] : []),
    html("span", { id: "map-files", class: "controls" }),
  );
}

/** The colour of every token, and those that have the same one in the order in which they are painted. */
function colorsOf(map, whole, view) {
  const head = map.heads.indexOf(view.tint);
  if (head < 0) return map.class_of.map((number) => map.classes[number].color);
  return Array.from(whole.sources[view.source].values[head], tintOf);
}

/** The tokens that are ringed: the chosen one, and all that are the one chosen in the text, or read like what is sought. */
function marked(whole, view, alive) {
  const sought = view.find && alive
    ? (token) => visible(alive.tokenizer.decode(token)).includes(visible(view.find))
    : () => false;
  const isSought = new Map([...new Set(whole.tokens)].map((token) => [token, token === view.token || sought(token)]));
  return { probe: view.probe, same: whole.tokens.flatMap((token, probe) => (isSought.get(token) ? [probe] : [])) };
}

function mapLegend(map, view, legend) {
  const item = (color, words) => {
    const line = html("i", { class: "spot" });
    line.style.background = color;
    return html("span", {}, line, words);
  };
  const items = view.tint === "class"
    ? map.classes.map(({ name, color }) => item(color, name))
    : [[-3, `${view.tint} expresses it`], [0, "neither"], [3, `${view.tint} suppresses it`]].map(([value, words]) =>
      item(tintOf(Number(value)), words)
    );
  legend.replaceChildren(...items);
}

/** The token under the mouse, the one that is clicked, and the arrow keys: left and right along the first component. */
function pointed(canvas, state, now, tell) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = now().width / box.width;
    return nearestPoint(
      now().xs,
      now().ys,
      (event.clientX - box.left) * scale,
      (event.clientY - box.top) * scale,
      NEAR,
    );
  };
  let frame = 0;
  canvas.addEventListener("pointermove", (event) => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => tell(at(event) < 0 ? state.get().probe : at(event)));
  });
  canvas.addEventListener("pointerleave", () => tell(state.get().probe));
  canvas.addEventListener("click", (event) => state.set({ probe: at(event) }));
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const along = event.key === "ArrowLeft" || event.key === "ArrowRight" ? now().xs : now().ys;
    const order = [...along.keys()].sort((one, other) => along[one] - along[other]);
    const place = order.indexOf(state.get().probe);
    const to = place < 0 ? Math.floor(order.length / 2) : Math.max(0, Math.min(order.length - 1, place + way));
    state.set({ probe: order[to] });
  });
}

/** Every token with its place on both maps. */
function mapRows(map, whole, alive) {
  const names = ["probe", "token", "class", "component_1", "component_2", "gaussian_1", "gaussian_2"];
  const rows = whole.tokens.map((token, probe) => [
    probe,
    alive ? alive.tokenizer.decode(token) : token,
    map.classes[map.class_of[probe]].name,
    ...["value", "noise"].flatMap((source) =>
      whole.sources[source].scores.map((score) => Number(score[probe].toPrecision(4)))
    ),
  ]);
  return [names, ...rows, ...shares(map)];
}

function shares(map) {
  const of = (source) => map[source].share.map((share) => Number(written(share, 4)));
  return [["", "", "share of variance", ...of("value"), ...of("noise")]];
}
