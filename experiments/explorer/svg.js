/** Elements of HTML and SVG with their attributes in one call; text is always text, never markup. */

const SVG = "http://www.w3.org/2000/svg"; // the name of a language, which nothing is fetched from

/**
 * @param {Element} made
 * @param {Record<string, any>} attributes
 * @param {(Node | string)[]} children
 */
function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(name, value === true ? "" : String(value));
    }
  }
  made.append(...children);
  return made;
}

/**
 * An element of HTML.
 * @param {string} tag
 * @param {Record<string, any>} attributes those that begin with "on" are listeners
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * An element of SVG.
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * The element of the page with this id.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * What a click does, done by Enter and the space bar too, on what is no button by itself.
 * @param {(event: Event) => void} act
 */
export function pressed(act) {
  return {
    onclick: act,
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      act(event);
    },
  };
}

/**
 * A choice among some values, with its label.
 * @param {string} label
 * @param {string[][]} options pairs of a value and what is read
 * @param {string} chosen
 * @param {(value: string) => void} change
 */
export function choice(label, options, chosen, change) {
  const select = html(
    "select",
    { onchange: (/** @type {any} */ event) => change(event.target.value) },
    ...options.map(([value, text]) => html("option", { value, selected: value === chosen }, text)),
  );
  return { label: html("label", {}, label, select), select };
}
