"""The page's own JavaScript, run under node as it stands in the page."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from experiments.explorer import page

LIVE = ("weights", "algebra", "model", "losses", "live")  # the model, without the page


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
