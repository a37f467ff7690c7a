"""Small models and a small corpus, shared by all tests."""

import ast
import contextlib
import fcntl
import json
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest
import torch

from ablations import models
from ablations.models import Model

torch.set_num_threads(1)

# Of tests whose models are of kinds that TransformerLens 4 has no class for, or that compare with its class.
hooked_only = pytest.mark.skipif(not models.HOOKED, reason="needs the HookedTransformer of TransformerLens 3")

# What `make_model` takes for models with MLPs of these shapes.
GPT2 = {"attn_only": False, "act_fn": "gelu_new", "d_mlp": 32, "positional_embedding_type": "standard"}
PYTHIA = GPT2 | {"positional_embedding_type": "rotary", "rotary_dim": 2, "parallel_attn_mlp": True, "act_fn": "gelu"}


def make_model(seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: object) -> Model:
    """A random attention-only model whose biases and norms are not trivial."""
    settings: dict = {
        "n_layers": 2,
        "d_model": 24,
        "n_ctx": 20,
        "d_head": 6,
        "n_heads": 3,
        "d_vocab": 50,
        "attn_only": True,
        "normalization_type": "LN",
        "positional_embedding_type": "shortformer",
        "dtype": dtype,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = models.new(settings | overrides)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                shift = 1.0 if name.endswith("ln1.w") or name == "ln_final.w" else 0.0
                parameter.copy_(shift + 0.3 * torch.randn(parameter.shape, dtype=dtype))
    return model.eval()


@pytest.fixture
def model() -> Model:
    return make_model()


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(50, (4, 16), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes of a session see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextlib.contextmanager
def only_once(path: Path) -> Iterator[bool]:
    """Whether this process is the first to make `path`; others wait until it has."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not path.exists()


@pytest.fixture(scope="session")
def cache(session_folder: Path) -> Path:
    """A cache of the tests' own, which shows the training text where the user's has built it: that takes a minute."""
    folder, users = (
        session_folder / "cache",
        os.environ.get("DEVCIRCUITS_CACHE") or platformdirs.user_cache_dir("devcircuits"),
    )
    with only_once(folder) as first:
        if first:
            folder.mkdir()
            for built in (*Path(users).glob("python-*"), *Path(users).glob("cpp-*")):
                (folder / built.name).symlink_to(built)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEVCIRCUITS_CACHE", str(cache))
        yield


@pytest.fixture(scope="session")
def corpus_file(session_folder: Path) -> Path:
    """Functions of the standard library, one document each."""
    path = session_folder / "functions.jsonl"
    with only_once(path) as first:
        if first:
            _write_functions(path)
    return path


def _write_functions(path: Path) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    with path.open("w") as file:
        for source in sorted(library.glob("*.py")):
            text = source.read_text(errors="ignore")
            lines = text.splitlines()
            for node in ast.parse(text).body:
                segment = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and len(segment) > 200:
                    file.write(json.dumps({"text": segment}) + "\n")
