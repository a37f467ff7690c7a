/**
 * What is looked at: one record that all panels read and change, and that stands in the address, so that a view can be
 * sent.
 */

/** @typedef {Record<string, string | number | boolean | string[]>} View */

/**
 * The part of an address that tells how a view differs from the usual one.
 * @param {View} view
 * @param {View} usual
 */
export function hashOf(view, usual) {
  const other = Object.keys(usual).filter((name) => String(view[name]) !== String(usual[name]));
  const pairs = other.map((name) => {
    const value = view[name];
    return `${name}=${encodeURIComponent(Array.isArray(value) ? value.join(",") : String(value))}`;
  });
  return pairs.join("&");
}

/**
 * The view that an address tells, with the usual one where it says nothing; what is unknown is left out.
 * @param {string} hash
 * @param {View} usual
 * @returns {View}
 */
export function viewOf(hash, usual) {
  const view = { ...usual };
  for (const pair of hash.replace(/^#/, "").split("&")) {
    const [name, value = ""] = pair.split("=");
    if (!Object.hasOwn(usual, name)) continue;
    view[name] = asKind(decoded(value), usual[name]);
  }
  return view;
}

/**
 * What a part of an address stands for; itself where it is damaged.
 * @param {string} value
 */
function decoded(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/**
 * A text as a value of the kind of another; that other one where it is none.
 * @param {string} text
 * @param {View[string]} like
 */
function asKind(text, like) {
  if (Array.isArray(like)) return text ? text.split(",") : [];
  if (typeof like === "boolean") return text === "true";
  if (typeof like === "number") return Number.isFinite(Number(text)) && text !== "" ? Number(text) : like;
  return text;
}

/**
 * @param {View} usual
 * @param {string} hash
 * @param {(hash: string) => void} keep takes the new part of the address
 * @param {(tell: () => void) => void} later when listeners hear of a change: at once, or, in the page, before the next
 *   frame is drawn, so that several changes within a frame are drawn once
 */
export function makeState(usual, hash, keep, later = (tell) => tell()) {
  let view = viewOf(hash, usual);
  /** @type {Set<string>} what changed since listeners heard last */
  let untold = new Set();
  /** @type {((view: View, changed: Set<string>) => void)[]} */
  const listeners = [];

  /** @param {View} changes */
  function set(changes) {
    const names = Object.keys(changes).filter((name) => String(changes[name]) !== String(view[name]));
    if (!names.length) return;
    view = { ...view, ...changes };
    const isWaiting = untold.size > 0;
    for (const name of names) untold.add(name);
    if (!isWaiting) later(tell);
  }

  function tell() {
    const changed = untold;
    untold = new Set();
    for (const listen of listeners) listen(view, changed);
    keep(hashOf(view, usual));
  }
  return {
    get: () => /** @type {any} */ (view),
    set,
    toggle: (/** @type {string} */ list, /** @type {string} */ name) => {
      const now = /** @type {string[]} */ (view[list]);
      set({ [list]: now.includes(name) ? now.filter((one) => one !== name) : [...now, name] });
    },
    subscribe: (/** @type {(view: any, changed: Set<string>) => void} */ listen) => {
      listeners.push(listen);
      listen(view, new Set(Object.keys(usual)));
    },
  };
}
