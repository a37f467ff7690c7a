/** What is removed from the model: switches for every head, the paths that are cut, and a way to cut another. */
import { choice, html } from "./svg.js";
import { isPart } from "./live.js";

const METHODS = [
  ["mean", "mean ablation (over held-out text)"],
  ["zero", "zero ablation"],
];

/**
 * @param {any} data
 * @param {any} state
 */
export function removals(data, state) {
  const heads = data.heads.map(({ name, type }) =>
    html("button", { type: "button", title: type, onclick: () => state.toggle("removed", name) }, name)
  );
  const paths = html("span", { class: "chips" });
  const entry = html("input", { "aria-label": "Path to cut", placeholder: "L0H5->L1H4.k", size: 16, list: "paths" });
  const remark = html("span", { class: "quiet", role: "status" });
  const known = html(
    "datalist",
    { id: "paths" },
    ...(data.circuit.paths ?? []).map(({ name }) => html("option", { value: name })),
  );
  const add = (event) => {
    event.preventDefault();
    const name = entry.value.trim();
    const isPath = name.includes("->") && isPart(name, data.live.config);
    remark.textContent = isPath ? "" : "A path is written as L0H5->L1H4.k (or .q, .v), embed->L1H4.q, or L0H5->output.";
    if (isPath && !state.get().removed.includes(name)) state.toggle("removed", name);
  };
  const form = html(
    "form",
    { class: "controls", onsubmit: add },
    entry,
    known,
    html("button", { type: "submit" }, "Cut this path"),
    paths,
    remark,
  );
  const method = choice(
    "By",
    METHODS,
    state.get().method,
    (value) => state.set({ method: value }),
  );
  const none = html("button", { type: "button", onclick: () => state.set({ removed: [] }) }, "Nothing removed");
  state.subscribe((view, changed) => {
    if (!changed.has("removed") && !changed.has("pins")) return;
    heads.forEach((button) => {
      button.setAttribute("aria-pressed", view.removed.includes(button.textContent));
      button.classList.toggle("is-pinned", view.pins.includes(button.textContent));
    });
    const cut = view.removed.filter((name) => name.includes("->"));
    paths.replaceChildren(
      ...cut.map((name) =>
        html(
          "button",
          {
            type: "button",
            "aria-pressed": "true",
            title: "Click to restore it",
            onclick: () => state.toggle("removed", name),
          },
          `${name} ×`,
        )
      ),
    );
  });
  return html(
    "fieldset",
    {},
    html("legend", {}, "Removed: heads, and direct paths between them"),
    html("div", { class: "chips" }, ...heads),
    form,
    html("div", { class: "controls" }, method.label, none),
  );
}
