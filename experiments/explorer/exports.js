/** Files out of the page: a picture as SVG or PNG, a table as CSV. */
import { html } from "./svg.js";

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
 * @param {SVGSVGElement} picture
 */
export function asSvg(picture) {
  const copy = /** @type {SVGSVGElement} */ (picture.cloneNode(true));
  const originals = picture.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((part, number) => {
    const style = getComputedStyle(originals[number]);
    for (const name of KEPT) part.setAttribute(name, style.getPropertyValue(name));
  });
  for (const hidden of copy.querySelectorAll('[display="none"], .hit')) hidden.remove();
  const [, , width, height] = (picture.getAttribute("viewBox") ?? "0 0 800 600").split(" ");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.style.background = getComputedStyle(document.body).backgroundColor;
  return new XMLSerializer().serializeToString(copy);
}

/**
 * The same in dots, two for each unit.
 * @param {SVGSVGElement} picture
 * @returns {Promise<Blob>}
 */
export async function asPng(picture) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(asSvg(picture))}`;
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
