"""Names of nodes and edges in the files of EAP-IG and the MIB benchmark.

Nodes are "input", "a0.h5", "m0" (the MLP of layer 0) and "logits"; edges "a0.h5->a1.h4<k>" and "m0->logits".
"""

import re

from ablations.names import head_name, mlp_layer, mlp_name, parse_head
from ablations.paths import OUTPUT, VIAS

_EDGE = re.compile(r"(input|a\d+\.h\d+|m\d+)->(?:(logits|m\d+)|(a\d+\.h\d+)<([qkv])>)")


def node_name(node: str) -> str:
    """MIB's name of a node of ours: "a0.h5" for L0H5, "m0" for MLP0."""
    if node in ("embed", OUTPUT):
        return "input" if node == "embed" else "logits"
    if (layer := mlp_layer(node)) is not None:
        return f"m{layer}"
    layer, head = parse_head(node)
    return f"a{layer}.h{head}"


def edge_name(source: str, target: str, via: str) -> str:
    """MIB's name of a path; via: the input of a head, anything else for other targets."""
    return f"{node_name(source)}->{node_name(target)}" + (f"<{via}>" if via in VIAS else "")


def parse_edge(name: str) -> tuple[str, str, str | None] | None:
    """Source and target by our names, and q, k or v into a head (None into others); None for no such edge."""
    match = _EDGE.fullmatch(name)
    return (_parse_node(match[1]), _parse_node(match[2] or match[3]), match[4]) if match else None


def _parse_node(node: str) -> str:
    if node in ("input", "logits"):
        return "embed" if node == "input" else OUTPUT
    if node.startswith("m"):
        return mlp_name(int(node[1:]))
    layer, head = node[1:].split(".h")
    return head_name((int(layer), int(head)))
