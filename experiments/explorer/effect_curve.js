/** The effect of one path over training, with its intervals. */
import { svg } from "./svg.js";
import { linearScale, plusMinus, tokenScale, written } from "./scales.js";

const EFFECT = { width: 300, left: 34, right: 292, top: 8, bottom: 92, height: 110 };

/**
 * @param {any} data
 * @param {number} number of the path
 * @param {number} now which of the checkpoints is looked at
 */
export function effectCurve(data, number, now) {
  const found = data.circuit;
  const x = tokenScale(data.tokens, EFFECT.left, EFFECT.right);
  const [values, halves] = [found.effect, found.half].map((table) => table.map((row) => row[number]));
  const low = Math.min(0, ...values.map((value, at) => value - (halves[at] ?? 0)));
  const high = Math.max(0, ...values.map((value, at) => value + (halves[at] ?? 0)));
  const y = linearScale(low, high, EFFECT.bottom, EFFECT.top);
  const places = found.steps.map((step) => x.at(data.tokens[data.steps.indexOf(step)]));
  const points = values.map((value, at) => `${places[at].toFixed(1)} ${y(value).toFixed(1)}`);
  const bars = values.map((value, at) =>
    svg("path", { class: "bar", d: `M${places[at]} ${y(value - (halves[at] ?? 0))}V${y(value + (halves[at] ?? 0))}` })
  );
  const dots = values.map((value, at) =>
    svg(
      "circle",
      { class: at === now ? "dot here" : "dot", cx: places[at], cy: y(value), r: at === now ? 4 : 2.6 },
      svg("title", {}, `step ${found.steps[at]}: ${plusMinus(value, halves[at])} nats (95% confidence interval)`),
    )
  );
  const label = `Effect of ${found.paths[number].name} over training, in nats`;
  return svg(
    "svg",
    { viewBox: `0 0 ${EFFECT.width} ${EFFECT.height}`, role: "img", "aria-label": label },
    svg("path", {
      class: "axis",
      d: `M${EFFECT.left} ${EFFECT.top}V${EFFECT.bottom}M${EFFECT.left} ${y(0)}H${EFFECT.right}`,
    }),
    svg("path", { class: "curve", d: `M${points.join("L")}` }),
    ...bars,
    ...dots,
    ...[low, high].map((end) =>
      svg("text", { x: EFFECT.left - 4, y: y(end) + 4, "text-anchor": "end" }, written(end, 1))
    ),
    ...x.ticks.map((tick) => svg("text", { x: x.at(tick), y: EFFECT.height - 3, "text-anchor": "middle" }, `${tick}`)),
  );
}
