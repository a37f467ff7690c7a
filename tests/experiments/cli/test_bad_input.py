"""Malformed input on the command line: one line, exit code 2, nothing left behind and nothing lost."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from experiments import runs
from experiments.__main__ import main
from experiments.corpora.tokenizer import train_tokenizer
from experiments.jobs import executors
from experiments.storage import tensorfile

RUN = ("--run", "tiny-seed0")
ABLATE = ("ablate", "L0H0", "--tokens", "200")
SWEPT = ("reproduce", "sweep", "claims", "types", "circuit")


def called(*arguments: str) -> int | str | None:
    """The exit code, whether it is returned or raised by argparse."""
    try:
        return main([*arguments])
    except SystemExit as end:
        return end.code


def state(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but what is being read."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refused(capsys: pytest.CaptureFixture, message: str, *arguments: str) -> None:
    """Asserts that the command ends with 2 and says why in its last line."""
    capsys.readouterr()
    assert called(*arguments) == 2
    err = capsys.readouterr().err
    last = err.strip().splitlines()[-1]
    assert message in last
    assert "Traceback" not in err
    assert last.startswith("error: "), last


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for results, beside the trained runs; nobody waits long for a scheduler."""
    monkeypatch.chdir(trained)
    monkeypatch.setattr(executors, "PATIENCE", "1s")
    return tmp_path / "results"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # no verb, or another one
        ([], "VERB"),
        (["nonsense"], "no verb 'nonsense'"),
        # train
        (["train"], "--preset"),
        (["train", "--preset", "tiny", "--seed", "x"], "invalid int value: 'x'"),
        (["train", "--preset", "tiny", "--seed", "1.5"], "invalid int value: '1.5'"),
        (["train", "--preset", "tiny", "--seed", "-1"], "seed=-1"),
        (["train", "--preset", "tiny", "--layers", "-1"], "--layers -1"),
        (["train", "--preset", "tiny", "--layers", "two"], "invalid int value: 'two'"),
        (["train", "--preset", "tiny", "--device", "tpu"], "invalid choice: 'tpu'"),
        (["types", "--device", "meta"], "invalid choice: 'meta'"),
        (["train", "--preset", "tiny", "--corpus", "text:"], "unknown corpus 'text:'"),
        (["train", "--preset", "tiny", "--corpus", "text:/nowhere"], "no such file"),
        (["train", "--preset", "tiny", "--corpus", "synthetic:trigrams=x"], "trigrams"),
        (["train", "--preset", "tiny", "--corpus", "synthetic:nonsense=1"], "nonsense"),
        (["train", "--preset", "tiny", "--corpus", "python:nonsense"], "unknown corpus 'python:nonsense'"),
        # every verb that measures: workers, seed, scheduler, run
        *(([verb, "--workers", "-1"], "workers=-1") for verb in SWEPT),
        *(([verb, "--workers", "x"], "invalid int value: 'x'") for verb in SWEPT),
        *(([verb, "--seed", "-1"], "seed=-1") for verb in SWEPT),
        *(([verb, "--scheduler", "nonsense"], "no Dask scheduler at 'nonsense'") for verb in ("types", "sweep")),
        (["reproduce", "--seed", "x"], "invalid int value: 'x'"),
        (["types", "--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler at 'tcp://127.0.0.1:9'"),
        (["claims", "--scheduler", "ftp://127.0.0.1:9"], "no Dask scheduler at 'ftp://127.0.0.1:9'"),
        (["sweep", "--run", "nowhere"], "no run 'nowhere'"),
        (["claims", "--run", "nowhere"], "no run 'nowhere'"),
        (["claims", "--run", "tiny-seed0"], "--run tiny-seed0 twice"),
        (["sweep", "--run", "runs/tiny-seed0"], "tiny-seed0 twice"),
        (["claims", "--run", "tiny-seed0-1layer"], "two or more"),
        (["types", "--corpus", "nonsense"], "unknown corpus 'nonsense'"),
        (["types", "--corpus", "synthetic:trigrams="], "trigrams"),
        # figure
        (["figure"], "NAME"),
        (["figure", ""], "unknown figure ''"),
        (["figure", "../rllcs"], "unknown figure '../rllcs'"),
        (["figure", "rllcs", "--settings", "nonsense"], "invalid choice: 'nonsense'"),
        (["figure", "rllcs", "--reference", "first"], "invalid choice: 'first'"),
        (["figure", "rllcs", "--workers", "0"], "workers=0"),
        # calibrate
        (["calibrate"], "HEAD"),
        (["calibrate", "L9H9"], "no head L9H9"),
        (["calibrate", "L0H0->L1H0.k"], "is not a head"),
        (["calibrate", "L0H0", "--step", "11"], "no checkpoint at step 11"),
        (["calibrate", "L0H0", "--step", "-1"], "no checkpoint at step -1"),
        (["calibrate", "L0H0", "--sampler", "hmc"], "invalid choice: 'hmc'"),
        (["calibrate", "L0H0", "--lr", "0"], "lr=0.0"),
        (["calibrate", "L0H0", "--lr", "-1"], "lr=-1.0"),
        (["calibrate", "L0H0", "--lr", "nan"], "lr=nan"),
        (["calibrate", "L0H0", "--lr", "inf"], "lr=inf"),
        (["calibrate", "L0H0", "--lr", "x"], "invalid float value: 'x'"),
        (["calibrate", "L0H0", "--lr", "1e-30"], "lr"),
        (["calibrate", "L0H0", "--localization", "-1"], "localization=-1.0"),
        (["calibrate", "L0H0", "--localization", "0"], "localization=0.0"),
        (["calibrate", "L0H0", "--localization", "nan"], "localization=nan"),
        (["calibrate", "L0H0", "--nbeta", "x"], "--nbeta x"),
        (["calibrate", "L0H0", "--nbeta", "-1"], "nbeta=-1.0"),
        (["calibrate", "L0H0", "--nbeta", "nan"], "nbeta=nan"),
        (["calibrate", "L0H0", "--nbeta", "inf"], "nbeta=inf"),
        (["calibrate", "L0H0", "--workers", "0"], "workers=0"),
        # ablate, paths, affected
        (["opn"], "no verb 'opn': did you mean open?"),
        (["ablate", "L0H0", "--metho", "x"], "devcircuits ablate has no --metho x; devcircuits ablate --help"),
        (["ablate"], "HEAD"),
        (["ablate", "L0H-1"], "'L0H-1' is not a head"),
        (["ablate", ""], "'' is not a head"),
        (["ablate", "L0H0+"], "'' is not a head"),
        (["ablate", "L0H9999999999999999999999"], "no head L0H9999999999999999999999"),
        (["ablate", "L0H0->L1H0.x"], "no input 'x'"),
        (["ablate", "L0H0->output.k"], "is not a path"),
        (["ablate", "pos_embed->L1H0.k"], "no source 'pos_embed'"),
        (["ablate", "L0H0", "--tokens", "-1"], "tokens=-1: at least one"),
        (["ablate", "L0H0", "--tokens", "1e3"], "invalid int value: '1e3'"),
        (["ablate", "L0H0", "--step", "x"], "invalid int value: 'x'"),
        (["ablate", "L0H0", "--layer-norm", "none"], "invalid choice: 'none'"),
        (["ablate", "L0H0", "--seed", "-1"], "seed=-1"),
        (["ablate", "L0H0", "--workers", "0"], "workers=0"),
        (["paths", "--method", "nonsense"], "invalid choice: 'nonsense'"),
        (["paths", "--top", "-1"], "--top -1"),
        (["paths", "--top", "0"], "--top 0"),
        (["paths", "--step", "11"], "no checkpoint at step 11"),
        (["paths", "--workers", "-3"], "workers=-3"),
        (["affected", "L0H0", "--top", "-1"], "--top -1"),
        (["affected", "L0H0", "--step", "61"], "no checkpoint at step 61"),
        (["affected", "L0H0", "--method", "noise"], "invalid choice: 'noise'"),
        (["affected", "embed->L1H0"], "is not a path"),
        (["affected", "nonsense->L1H0.k"], "'nonsense' is not a head"),
        # types, circuit
        (["types", "--step", "11"], "no checkpoint at step 11"),
        (["types", "--tokens", "0"], "tokens=0: at least one"),
        (["types", "--tokens", "-5"], "tokens=-5: at least one"),
        (["circuit", "--task", "nonsense"], "unknown task 'nonsense'"),
        (["circuit", "--step", "11"], "no checkpoint at step 11"),
        (["circuit", "--top", "-1"], "--top -1"),
        (["circuit", "--top", "0"], "--top 0"),
        (["circuit", "--against", "11"], "no checkpoint at step 11"),
        (["circuit", "--against", "nowhere"], "no run 'nowhere'"),
        (["circuit", "--against", "60"], "at step 60 against itself"),
        (["circuit", "--against", "30", "--heads", "L0H0"], "--against with --heads"),
        # status
        (["status", "nowhere"], "has no log.jsonl"),
        (["status", "runs"], "has no log.jsonl"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list | tuple) else "",
)  # fmt: skip
def test_arguments(arguments, message, place: Path, trained: Path, capsys) -> None:
    before = state(trained)
    verb = [*arguments][:1]
    named = [] if not verb or verb[0] in ("train", "status", "nonsense") else [*RUN]
    if verb and "--run" in arguments and verb[0] not in ("claims", "sweep"):
        named = []
    if message in ("no run 'nowhere'", "two or more"):
        named = []
    out = ["--out", str(place)] if verb and verb[0] not in ("status", "nonsense") else []
    refused(capsys, message, *arguments, *named, *out)
    assert state(trained) == before
    assert not place.exists()


class Marks:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return Path.touch, (self.marker,)


def edited(**changes: object) -> Callable[[Path], object]:
    """Changes config.json: part=None removes it, part__key=value sets one in it."""

    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        for name, value in changes.items():
            *parents, key = name.split("__")
            part = config
            for parent in parents:
                part = part[parent]
            if value is None:
                del part[key]
            else:
                part[key] = value
        (folder / "config.json").write_text(json.dumps(config))

    return damage


def text(name: str, content: str | bytes) -> Callable[[Path], object]:
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(content)


def bytes_of(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Changes the bytes of the last checkpoint."""

    def damage(folder: Path) -> None:
        path = runs.checkpoint_path(folder, 60)
        path.write_bytes(change(path.read_bytes()))

    return damage


def weights(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Callable[[Path], object]:
    """Writes the last checkpoint again, whole, with other weights."""

    def damage(folder: Path) -> None:
        path = runs.checkpoint_path(folder, 60)
        arrays, metadata = tensorfile.read(path)
        tensorfile.write(path, change(arrays), metadata)

    return damage


def spoiled(name: str, value: float) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    def change(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = arrays[name].copy()
        array.flat[3] = value
        return arrays | {name: array}

    return change


def foreign(folder: Path) -> None:
    save_file({"embed.W_E": np.zeros((4, 4), np.float32)}, runs.checkpoint_path(folder, 60))


def malicious(folder: Path) -> None:
    runs.checkpoint_path(folder, 60).write_bytes(pickle.dumps(Marks(folder.parent / "marker")))


def swapped(folder: Path) -> None:
    shutil.copy(folder.with_name("other") / "step_0000060.safetensors", runs.checkpoint_path(folder, 60))


def no_checkpoints(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.unlink()


def as_folder(folder: Path) -> None:
    path = runs.checkpoint_path(folder, 60)
    path.unlink()
    path.mkdir()


W_E = "embed.W_E"
DAMAGES = {
    "config: no JSON": (text("config.json", "{"), "cannot be opened"),
    "config: empty": (text("config.json", ""), "cannot be opened"),
    "config: not UTF-8": (text("config.json", b"\xff\xfe{"), "cannot be opened"),
    "config: a list": (text("config.json", "[]"), "cannot be opened"),
    "config: a number": (text("config.json", "1"), "cannot be opened"),
    "config: schema 2": (edited(schema=2), "schema is 2, it must be 1"),
    "config: no schema": (edited(schema=None), "cannot be opened"),
    "config: no model": (edited(model=None), "cannot be opened"),
    "config: no preset": (edited(preset=None), "cannot be opened"),
    "config: no corpus": (edited(corpus=None), "cannot be opened"),
    "config: preset is text": (edited(preset="tiny"), "cannot be opened"),
    "config: no n_ctx": (edited(preset__n_ctx=None), "preset has no n_ctx"),
    "config: no batch_size": (edited(preset__batch_size=None), "preset has no batch_size"),
    "config: no heads": (edited(model__n_heads=None), "model has no n_heads"),
    "config: no vocabulary": (edited(model__d_vocab=None), "model has no d_vocab"),
    "config: layers as text": (edited(model__n_layers="2"), "n_layers is '2'"),
    "config: no layers": (edited(model__n_layers=0), "n_layers is 0"),
    "config: unknown field": (edited(model__nonsense=1), "nonsense"),
    "config: other width": (edited(model__d_model=64), "not of the same model"),
    "config: more layers": (edited(model__n_layers=3), "not of the same model"),
    "config: unknown norm": (edited(model__normalization_type="nonsense"), "cannot be opened"),
    "config: unknown positions": (edited(model__positional_embedding_type="nonsense"), "cannot be opened"),
    "no checkpoint": (no_checkpoints, "no checkpoint"),
    "checkpoint: empty": (bytes_of(lambda data: b""), "not a whole safetensors file"),
    "checkpoint: truncated": (bytes_of(lambda data: data[:-1]), "not a whole safetensors file"),
    "checkpoint: header only": (bytes_of(lambda data: data[:8]), "not a whole safetensors file"),
    "checkpoint: longer": (bytes_of(lambda data: data + b"\0"), "not a whole safetensors file"),
    "checkpoint: a huge header": (bytes_of(lambda data: b"\xff" * 7 + b"\x7f" + data[8:]), "not a whole safetensors"),
    "checkpoint: a bit flipped": (bytes_of(lambda data: data[:-9] + bytes([data[-9] ^ 16]) + data[-8:]), "checksum"),
    "checkpoint: text": (text("step_0000060.safetensors", "weights"), "not a whole safetensors file"),
    "checkpoint: foreign": (foreign, "does not match its checksum"),
    "checkpoint: a pickle": (malicious, "not a whole safetensors file"),
    "checkpoint: a folder": (as_folder, "step_0000060.safetensors"),
    "checkpoint: of another run": (swapped, "not of the same model"),
    "weights: NaN": (weights(spoiled(W_E, np.nan)), "embed.W_E is not finite"),
    "weights: infinite": (weights(spoiled("unembed.b_U", np.inf)), "unembed.b_U is not finite"),
    "weights: transposed": (weights(lambda found: found | {W_E: found[W_E].T}), "not of the same model"),
    "weights: one missing": (weights(lambda found: {n: found[n] for n in found if n != W_E}), "shape None"),
    "weights: one too many": (weights(lambda found: found | {"blocks.0.mlp.W_in": found[W_E]}), "blocks.0.mlp.W_in"),
    "weights: none": (weights(lambda found: {}), "not of the same model"),
    "weights: whole numbers": (weights(lambda found: found | {W_E: found[W_E].astype(np.int64)}), "embed.W_E"),
    "tokenizer: missing": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json cannot be read"),
    "tokenizer: empty": (text("tokenizer.json", ""), "tokenizer.json cannot be read"),
    "tokenizer: no JSON": (text("tokenizer.json", "{"), "tokenizer.json cannot be read"),
    "tokenizer: another JSON": (text("tokenizer.json", "{}"), "tokenizer.json cannot be read"),
}


@pytest.fixture
def broken(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, to be damaged."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained / "runs" / "tiny-seed0-1layer", tmp_path / "other")
    return Path(shutil.copytree(trained / "runs" / "tiny-seed0", tmp_path / "broken"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_runs(damage: str, broken: Path, capsys) -> None:
    change, message = DAMAGES[damage]
    change(broken)
    before = state(broken)
    refused(capsys, message, *ABLATE, "--run", str(broken), "--out", "results")
    assert state(broken) == before
    assert not (broken.parent / "marker").exists()
    assert not Path("results").exists()


@pytest.mark.parametrize("verb", ["paths", "affected", "types", "circuit", "calibrate"])
def test_other_verbs_on_a_damaged_checkpoint(verb: str, broken: Path, capsys) -> None:
    foreign(broken)
    more = ["L0H0"] if verb in ("affected", "calibrate") else []
    steps = ["--lr", "1e-3", "--localization", "200", "--nbeta", "10"] if verb == "calibrate" else []
    where = ("--run", str(broken), "--out", "results", "--workers", "1")
    refused(capsys, "does not match its checksum", verb, *more, *steps, *where)
    assert not Path("results").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["figure", "compositions"],
        *(
            pytest.param(arguments, marks=pytest.mark.slow)
            for arguments in (["reproduce"], ["investigate", "L1H0", "--tokens", "2000"])
        ),
    ],
    ids=lambda arguments: arguments[0],
)
def test_one_damaged_checkpoint_among_many(arguments: list[str], broken: Path, capsys) -> None:
    path = runs.checkpoint_path(broken, 0)
    path.write_bytes(path.read_bytes()[:-100])
    before = state(broken)
    refused(capsys, f"{path} is not a whole", *arguments, "--run", str(broken), "--out", "results", "--workers", "1")
    assert state(broken) == before
    assert list(Path("results/cells").glob("*.safetensors")), "the others are measured"


def test_a_tokenizer_with_another_vocabulary(broken: Path, corpus_file: Path, capsys) -> None:
    (broken / "tokenizer.json").write_text(train_tokenizer(f"text:{corpus_file}", 300).to_str())
    refused(capsys, "the tokenizer has 300 tokens", *ABLATE, "--run", str(broken), "--out", "results")
    assert not Path("results").exists()


def folder_of(**files: bytes) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.mkdir()
        for name, content in files.items():
            (path / name.replace("_", ".")).write_bytes(content)

    return write


def content_of(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


CORPORA = {
    "missing.txt": (lambda path: None, "no such file"),
    "empty.txt": (content_of(b""), "no text in 1 files"),
    "blank.txt": (content_of(b"\n\n\n\n \n"), "no text in 1 files"),
    "binary.txt": (content_of(bytes(range(256)) * 40), "1 of them unreadable"),
    "short.txt": (content_of(b"def f(): pass\n"), "tokens of held-out text (one document in ten), and a row takes 63"),
    "binary.jsonl": (content_of(b"\xff\xfe\x00"), "1 of them unreadable"),
    "broken.jsonl": (content_of(b'{"text": "a"\n'), "1 of them unreadable"),
    "other.jsonl": (content_of(b'{"content": "a"}\n'), "1 of them unreadable"),
    "list.jsonl": (content_of(b'["a"]\n'), "1 of them unreadable"),
    "number.jsonl": (content_of(b'{"text": 7}\n'), "1 of them unreadable"),
    "broken.parquet": (content_of(b"PAR1 but not really"), "1 of them unreadable"),
    "nothing": (folder_of(), "the folder holds no"),
    "pictures": (folder_of(a_png=b"\x89PNG"), "the folder holds no"),
    "unreadable": (folder_of(a_txt=b"\xff", b_jsonl=b"{"), "no text in 2 files, 2 of them unreadable"),
}


@pytest.mark.parametrize("name", CORPORA)
def test_corpora(name: str, place: Path, tmp_path: Path, capsys) -> None:
    make, message = CORPORA[name]
    make(tmp_path / name)
    corpus = ("--corpus", f"text:{tmp_path / name}")
    refused(capsys, message, *ABLATE, *RUN, *corpus, "--out", str(place))
    assert not place.exists()
    refused(capsys, "corpus", "train", "--preset", "tiny", *corpus, "--out", str(place))
    assert not place.exists()


@pytest.mark.parametrize("inside", ["", "/deep/er"])
@pytest.mark.parametrize("verb", ["train", *SWEPT, "figure", "ablate", "calibrate"])
def test_results_in_the_place_of_a_file(verb: str, inside: str, place: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    what = {"train": ["--preset", "tiny"], "figure": ["rllcs", *RUN]}.get(verb, [*RUN])
    head = ["L0H0"] if verb in ("ablate", "calibrate") else []
    refused(capsys, f"{file} is a file", verb, *head, *what, "--out", str(file) + inside)
    assert file.read_text() == "precious"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (text("config.json", "{"), "config.json cannot be read"),
        (text("config.json", "[]"), "config.json cannot be read"),
        (edited(threads=None), "config.json cannot be read"),
        (edited(threads=0), "threads is 0"),
        (edited(threads=-1), "threads is -1"),
        (edited(seed=7), "holds a run whose seed is 7, not 0"),
        (edited(preset__lr=0.5), "holds a run whose preset is"),
        (edited(more=1), "holds a run whose more is 1, not None"),
        (text("tokenizer.json", "{"), "tokenizer.json cannot be read"),
        (text("train_state/state.pt", ""), "state.pt cannot be read"),
        (text("train_state/state.pt", "nonsense"), "state.pt cannot be read"),
    ],
)  # fmt: skip
def test_training_does_not_go_on_from_a_damaged_run(damage, message, broken: Path, corpus_file: Path, capsys) -> None:
    folder = broken.rename(broken.with_name("tiny-seed0"))
    damage(folder)
    before = state(folder)
    where = ("--corpus", f"text:{corpus_file}", "--out", str(folder.parent), "--device", "cpu", "--layers", "2")
    refused(capsys, message, "train", "--preset", "tiny", *where)
    assert state(folder) == before


def test_training_does_not_load_a_malicious_state(broken: Path, corpus_file: Path, capsys) -> None:
    folder = broken.rename(broken.with_name("tiny-seed0"))
    (folder / "train_state" / "state.pt").write_bytes(pickle.dumps(Marks(folder.parent / "marker")))
    where = ("--corpus", f"text:{corpus_file}", "--out", str(folder.parent), "--device", "cpu", "--layers", "2")
    refused(capsys, "state.pt cannot be read", "train", "--preset", "tiny", *where)
    assert not (folder.parent / "marker").exists()


def test_negative_control_the_same_commands_on_what_is_whole(broken: Path, tmp_path: Path) -> None:
    assert called(*ABLATE, "--run", str(broken), "--out", "results") == 0
    assert list(Path("results/cells").glob("*.safetensors"))
    pickle.loads(pickle.dumps(Marks(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()
