/** Files out of the page: a picture as SVG or PNG, a table as CSV. */
import { html, svg } from "./svg.js";

const KEPT = [
  ...["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity", "font-family", "font-size"],
  ...["font-weight", "text-anchor", "display"],
];

/**
 * Rows as text that spreadsheets read.
 * @param {(string | number | null)[][]} rows
 */
export function asCsv(rows) {
  const cell = (/** @type {string | number | null} */ value) => {
    const text = value === null ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",") + "\n").join("");
}

/**
 * A picture by itself: what the page's style says of each part stands on the part.
 * @param {SVGSVGElement} picture that stands in the page
 * @returns {SVGSVGElement} a copy that needs no page
 */
export function standalone(picture) {
  const copy = /** @type {SVGSVGElement} */ (picture.cloneNode(true));
  const originals = picture.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((part, number) => {
    const style = getComputedStyle(originals[number]);
    for (const name of KEPT) part.setAttribute(name, style.getPropertyValue(name));
  });
  for (const hidden of copy.querySelectorAll('[display="none"], .hit')) hidden.remove();
  return sized(copy);
}

/** @param {SVGSVGElement} picture */
function sized(picture) {
  const [, , width, height] = (picture.getAttribute("viewBox") ?? "0 0 800 600").split(" ");
  picture.setAttribute("width", width);
  picture.setAttribute("height", height);
  picture.style.background = getComputedStyle(document.body).backgroundColor;
  return picture;
}

/**
 * Several pictures as one, side by side, each below its title.
 * @param {{title: string, pictures: SVGSVGElement[]}[]} groups pictures of a group stand below each other
 * @param {number} columns
 */
export function together(groups, columns) {
  const GAP = 14;
  const boxOf = (/** @type {SVGSVGElement} */ one) => (one.getAttribute("viewBox") ?? "").split(" ").map(Number);
  const sizes = groups.map(({ pictures }) => pictures.map(boxOf));
  const width = Math.max(...sizes.flat().map((box) => box[2])) + GAP;
  const height = Math.max(...sizes.map((boxes) => boxes.reduce((sum, box) => sum + box[3], 0))) + 2 * GAP + 6;
  const ink = getComputedStyle(document.body).color;
  const whole = svg("svg", {
    viewBox: `0 0 ${columns * width} ${Math.ceil(groups.length / columns) * height}`,
    xmlns: "http://www.w3.org/2000/svg",
  });
  groups.forEach(({ title, pictures }, number) => {
    const [x, y] = [(number % columns) * width + GAP / 2, Math.floor(number / columns) * height];
    const font = { "font-family": "system-ui, sans-serif", "font-size": 12, "font-weight": 600, fill: ink };
    whole.append(svg("text", { x, y: y + GAP + 2, ...font }, title));
    let top = y + GAP + 8;
    for (const picture of pictures) {
      const copy = standalone(picture);
      copy.setAttribute("x", String(x));
      copy.setAttribute("y", String(top));
      top += boxOf(picture)[3];
      whole.append(copy);
    }
  });
  return sized(whole);
}

/** @param {SVGSVGElement} picture that needs no page */
export function asText(picture) {
  return new XMLSerializer().serializeToString(picture);
}

/**
 * The same in dots, two for each unit.
 * @param {SVGSVGElement} picture that needs no page
 * @returns {Promise<Blob>}
 */
export async function asPng(picture) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(asText(picture))}`;
  await image.decode();
  const canvas = html("canvas", { width: 2 * image.width, height: 2 * image.height });
  const pen = canvas.getContext("2d");
  pen.fillStyle = getComputedStyle(document.body).backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((/** @type {Blob | null} */ blob) => (blob ? resolve(blob) : reject(new Error("no picture"))));
  });
}

/**
 * Buttons that write a view as SVG and as PNG.
 * @param {string} name of the files
 * @param {() => SVGSVGElement} make a picture that needs no page
 */
export function pictureButtons(name, make) {
  const button = (/** @type {string} */ label, /** @type {() => void} */ act) =>
    html("button", { type: "button", class: "file", title: `Save this view as ${label}`, onclick: act }, label);
  return [
    button("SVG", () => save(`${name}.svg`, asText(make()), "image/svg+xml")),
    button("PNG", async () => save(`${name}.png`, await asPng(make()), "image/png")),
  ];
}

/**
 * A button that writes a table as CSV.
 * @param {string} name of the file
 * @param {() => (string | number | null)[][]} rows with the names of the columns first
 */
export function tableButton(name, rows) {
  const act = () => save(`${name}.csv`, asCsv(rows()), "text/csv");
  return html("button", { type: "button", class: "file", title: "Save these numbers as CSV", onclick: act }, "CSV");
}

/**
 * Hands a file to the reader.
 * @param {string} name
 * @param {Blob | string} content
 * @param {string} type
 */
export function save(name, content, type) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  html("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
