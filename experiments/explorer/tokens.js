/** Tokens in the colours of their losses, and where a head looks from one of them. */
import { html, svg } from "./svg.js";
import { signed, written } from "./scales.js";

const [FULL_LOSS, FULL_CHANGE] = [8, 2]; // nats at which a colour is full

/** The head whose attention is shown: the chosen one, else an induction head, else the last. */
export function lookedAt(data, view) {
  return view.look || (data.heads.find(({ type }) => type === "induction") ?? data.heads.at(-1)).name;
}

/** One button for each token; arrow keys move between them. */
export function buttons(tokens, tokenizer, box, choose, look) {
  const made = tokens.map((token, position) =>
    html(
      "button",
      {
        ...{ type: "button", class: "token", tabindex: position === tokens.length - 1 ? 0 : -1 },
        ...{ onclick: () => choose(position), onfocus: () => look(position), onblur: () => look(-1) },
        ...{ onpointerenter: () => look(position), onpointerleave: () => look(-1) },
      },
      visible(tokenizer.decode(token)),
    )
  );
  box.replaceChildren(...made);
  box.onkeydown = (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const to = made[made.indexOf(event.target) + (way ?? 0)];
    if (!way || !to) return;
    event.preventDefault();
    made.forEach((button) => (button.tabIndex = button === to ? 0 : -1));
    to.focus();
  };
}

/** A token as it can be read: what is not to be seen gets a sign. */
export function visible(token) {
  const marked = token.replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
  return marked.trim() ? marked : marked.replaceAll(" ", "·");
}

/** Tokens in the colour of their loss, or of its change: orange rises, blue falls. */
export function plain(view, { clean, changed, chosen, tokens }, box) {
  Array.from(box.children).forEach((button, at) => {
    const change = changed ? changed.losses[at] - clean.losses[at] : 0;
    const [value, full] = view.color === "change" ? [change, FULL_CHANGE] : [clean.losses[at], FULL_LOSS];
    const depth = at ? Math.min(1, Math.abs(value) / full) * 0.75 : 0;
    button.style.background = `rgba(var(${value < 0 ? "--fall" : "--rise"}), ${depth.toFixed(3)})`;
    button.style.borderBottomColor = "transparent";
    button.classList.toggle("chosen", at === chosen);
    const words = changed ? `, ${signed(change)} by what is removed` : "";
    const label = at
      ? `${button.textContent}: loss ${written(clean.losses[at])} nats${words}`
      : `${button.textContent}: start of the text`;
    button.title = label;
    button.setAttribute("aria-label", `${label}, token ${at + 1} of ${tokens.length}`);
  });
}

/** Where the head looks from a position, as fillings, and which later tokens look at it, as lines below. */
export function lookFrom(data, view, shown, box, position) {
  if (position < 0) return plain(view, shown, box);
  const pattern = (shown.changed ?? shown.clean).run.patterns.get(lookedAt(data, view));
  const length = shown.tokens.length;
  Array.from(box.children).forEach((button, at) => {
    const [from, to] = [
      at <= position ? pattern[position * length + at] : 0,
      at > position ? pattern[at * length + position] : 0,
    ];
    button.style.background = `rgba(var(--attend), ${from.toFixed(3)})`;
    button.style.borderBottomColor = `rgba(var(--fall), ${to.toFixed(3)})`;
  });
}

/**
 * The tokens as they stand in the page, as a picture that needs no page.
 * @param {HTMLElement} box
 */
export function tokenPicture(box) {
  const frame = box.getBoundingClientRect();
  const [width, height] = [Math.ceil(frame.width), Math.ceil(frame.height)];
  const paper = getComputedStyle(document.body);
  const whole = svg("svg", { viewBox: `0 0 ${width} ${height}`, xmlns: "http://www.w3.org/2000/svg", width, height });
  whole.append(svg("rect", { width, height, fill: paper.backgroundColor }));
  for (const button of box.children) {
    const [place, style] = [button.getBoundingClientRect(), getComputedStyle(button)];
    const [x, y] = [(place.left - frame.left).toFixed(1), place.top - frame.top];
    const font = {
      "font-family": "ui-monospace, monospace",
      "font-size": parseFloat(style.fontSize),
      fill: paper.color,
      "xml:space": "preserve",
    };
    const size = { x, y: y.toFixed(1), width: place.width.toFixed(1), height: place.height.toFixed(1) };
    whole.append(
      svg("rect", { ...size, fill: style.backgroundColor }),
      svg("text", { x, y: (y + place.height * 0.7).toFixed(1), ...font }, button.textContent ?? ""),
    );
  }
  return whole;
}

/**
 * Losses of all tokens as a table.
 * @returns {(string | number | null)[][]}
 */
export function tokenRows({ tokens, clean, changed }, tokenizer) {
  const rows = tokens.map((token, at) => {
    const before = at ? clean.losses[at] : null;
    return [at, tokenizer.decode(token), before, at && changed ? changed.losses[at] - clean.losses[at] : null];
  });
  return [["position", "token", "loss_nats", "change_nats"], ...rows];
}
