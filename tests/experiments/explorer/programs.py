"""Node and the browser: tests that use them are skipped where they are absent, unless they are required (`.ci/run`)."""

import os
import shutil
from collections.abc import Mapping

import pytest

REQUIRED = "DEVCIRCUITS_REQUIRE_BROWSER"


def is_skipped(program: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether tests that use a program are to be skipped: where they are not, they fail without it."""
    return shutil.which(program, path=environment.get("PATH")) is None and not environment.get(REQUIRED)


needs_node = pytest.mark.skipif(is_skipped("node"), reason="node is not installed")
needs_chromium = pytest.mark.skipif(is_skipped("chromium"), reason="chromium is not installed")
