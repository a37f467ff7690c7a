/** What the map of tokens says of one token: its text, its place, and the values of the heads. */
import { byId, html } from "./svg.js";
import { signed, written } from "./scales.js";
import { placeOf } from "./map_data.js";
import { table } from "./tables.js";
import { visible } from "./tokens.js";

const [MAP_BEFORE, MAP_AFTER, CONTEXT] = [8, 3, 56]; // tokens shown around one, and taken along into the text
const UNIT = "standard deviations of the head's values over all tokens; negative: the head expresses the token";

/** A token in its text, with its class and its place. */
export function wordsOf(map, whole, view, alive, probe) {
  if (probe < 0 || probe >= whole.count) return "Point at a token: it is read here.";
  const { row, at } = placeOf(map, probe);
  const words = (from, to) =>
    alive ? visible(row.slice(Math.max(1, from), to).map(alive.tokenizer.decode).join("")) : "";
  const [x, y] = whole.sources[view.source].scores.map((score) => signed(score[probe], 1));
  const text = alive
    ? `…${words(at - MAP_BEFORE, at)}[${words(at, at + 1)}]${words(at + 1, at + 1 + MAP_AFTER)}… `
    : `${row[at]} `;
  return `${text}(${map.classes[map.class_of[probe]].name}; components ${x} and ${y} standard deviations)`;
}

/** The heads: what each makes of the chosen token, and how it is placed on the components. */
export function headsOf(data, map, whole, state, alive) {
  const view = state.get();
  const [own, other] = ["value", "noise"].map((name) => whole.sources[name]);
  const isChosen = view.probe >= 0 && view.probe < whole.count;
  const at = whole.sources[view.source];
  const order = [...map.heads.keys()].sort((one, two) => rank(map.heads[one], view) - rank(map.heads[two], view));
  const rows = order.map((head) => [
    { show: headButton(data, state, map.heads[head]), value: map.heads[head] },
    ...(isChosen ? [own, other].map((source) => valueCell(source, head, view.probe)) : []),
    ...at.loadings.map((loading) => ({
      ...{ show: signed(loading[head]), value: loading[head] },
      about: "loading, from −1 to 1; its error is not known, but how well halves agree",
    })),
    {
      show: written(at.agreement[head]),
      value: at.agreement[head],
      about: "rank correlation of two halves of the draws",
    },
  ]);
  const columns = [
    { name: "head" },
    ...(isChosen ? [{ name: "posterior", about: UNIT }, { name: "Gaussian", about: UNIT }] : []),
    ...[1, 2].map((number) => ({ name: `loading ${number}`, about: "of the head on the component" })),
    { name: "halves", about: "rank correlation over tokens of one half of chains and draws with the other" },
  ];
  const title = isChosen && alive
    ? ["What heads make of ", html("code", {}, visible(alive.tokenizer.decode(whole.tokens[view.probe])))]
    : ["The heads on both components"];
  return [
    html("h3", {}, ...title),
    ...(isChosen && alive ? [openButton(map, state, alive, view.probe)] : []),
    table(`${data.name}_token_map_heads`, columns, rows),
    html(
      "p",
      { class: "quiet" },
      "Click a head to colour the map by its values. Values have no error of their own here.",
    ),
  ];
}

function rank(name, view) {
  return view.pins.includes(name) ? view.pins.indexOf(name) - view.pins.length : 0;
}

function valueCell(source, head, probe) {
  const value = source.values[head][probe];
  return { show: signed(value, 1), value: Number(value.toPrecision(4)), about: UNIT };
}

/** A head's name, which colours the map by its values and shows the head in the circuit. */
function headButton(data, state, name) {
  const view = state.get();
  const on = view.tint === name;
  const type = data.heads.find((head) => head.name === name)?.type ?? "";
  const act = () => state.set(on ? { tint: "class" } : { tint: name, chosen: name });
  const look = view.pins.includes(name) ? "is-pinned" : "";
  return html("button", { type: "button", class: look, title: type, "aria-pressed": on, onclick: act }, name);
}

/** Takes the text around a token along into the panel of texts. */
function openButton(map, state, { tokenizer }, probe) {
  const open = () => {
    const { row, at } = placeOf(map, probe);
    const from = Math.max(1, at - CONTEXT);
    const words = (start, end) => row.slice(start, end).map(tokenizer.decode).join("");
    const position = 1 + tokenizer.encode(words(from, at)).length;
    state.set({ text: words(from, at + 1 + MAP_AFTER), at: position, token: row[at] });
    byId("text-title").scrollIntoView({ block: "center" });
  };
  return html("button", { type: "button", onclick: open }, "Show it in the text");
}
