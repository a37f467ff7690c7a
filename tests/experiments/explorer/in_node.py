"""The page's own JavaScript, run under node as it stands in the page."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from experiments.explorer import page

LIVE = ("weights", "algebra", "model", "losses", "live")  # the model, without the page
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def called(scripts: Sequence[str], body: str, given: Any) -> Any:
    """What `body` returns, given `given`, after these scripts."""
    source = (
        'import { readFileSync } from "node:fs";\n'
        f"{page.joined(scripts)}\n"
        f"const answer = ((given) => {{ {body} }})(JSON.parse(readFileSync(0, 'utf8')));\n"
        "process.stdout.write(JSON.stringify(answer));\n"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", source],
        input=json.dumps(given), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)
