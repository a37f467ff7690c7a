/** A circuit as the JSON that EAP-IG and the MIB benchmark read, in the names of `circuits.mib_names`. */

/**
 * MIB's name of a node: "a0.h5" for L0H5, "m0" for MLP0, "input" and "logits".
 * @param {string} node
 */
export function mibNode(node) {
  if (node === "embed") return "input";
  if (node === "output") return "logits";
  const head = /^L(\d+)H(\d+)$/.exec(node);
  return head ? `a${head[1]}.h${head[2]}` : node.replace("MLP", "m");
}

/**
 * All paths of a checkpoint with their scores, the sizes of their effects, and which are in the circuit.
 * @param {any} found the circuit's data
 * @param {number} at which of its checkpoints
 * @param {(number: number) => boolean} isInside whether a path, by its number, is in the circuit
 */
export function asMib(found, at, isInside) {
  const inGraph = new Set(["embed", "output"]);
  /** @type {Record<string, {score: number | null, in_graph: boolean}>} */
  const edges = {};
  found.paths.forEach((/** @type {any} */ path, /** @type {number} */ number) => {
    const inside = isInside(number);
    if (inside) { for (const node of [path.source, path.target]) inGraph.add(node); }
    const input = ["q", "k", "v"].includes(path.via) ? `<${path.via}>` : "";
    const name = `${mibNode(path.source)}->${mibNode(path.target)}${input}`;
    const effect = found.effect[at][number];
    edges[name] = { score: effect === null ? null : Math.abs(effect), in_graph: inside };
  });
  const nodes = Object.fromEntries(
    found.nodes.map((/** @type {any} */ { name }) => [mibNode(name), { in_graph: inGraph.has(name) }]),
  );
  return { cfg: found.model, nodes, edges };
}
