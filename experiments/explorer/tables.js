/** Tables of numbers: each says its unit and error when it is pointed at, and all of them can be saved as CSV. */
import { html } from "./svg.js";
import { tableButton } from "./exports.js";

/**
 * @typedef {string | number | null} Value
 *
 * @typedef {Object} Cell
 * @property {Node | string} show
 * @property {Value} value as it stands in the file
 * @property {string} [about] said when it is pointed at: the unit and what is known of the error
 */

/**
 * A table with a button that saves it.
 * @param {string} file its name, without suffix
 * @param {{name: string, about?: string}[]} columns about: the unit and what the numbers are
 * @param {(Cell | string)[][]} rows
 */
export function table(file, columns, rows) {
  const head = columns.map(({ name, about }) => html("th", { scope: "col", title: about }, name));
  const body = rows.map((row) => html("tr", {}, ...row.map(shown)));
  const values = () => [columns.map(({ name }) => name), ...rows.map((row) => row.map(valueOf))];
  return html(
    "div",
    { class: "table scroll" },
    html("table", {}, html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...body)),
    tableButton(file, values),
  );
}

/** @param {Cell | string} cell */
function shown(cell) {
  return typeof cell === "string" ? html("td", {}, cell) : html("td", { title: cell.about }, cell.show);
}

/** @param {Cell | string} cell */
function valueOf(cell) {
  return typeof cell === "string" ? cell : cell.value;
}
