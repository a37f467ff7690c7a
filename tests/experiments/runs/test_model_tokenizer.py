"""A run's models read and write text by the run's tokenizer, without the network."""

import pytest
import torch

from experiments import open_run
from experiments.runs import adopt

TEXT = "def add(a, b):\n    return a + b\n"


@pytest.fixture(scope="module")
def run():  # type: ignore[no-untyped-def]
    return open_run("mini-seed0")


def test_text_is_encoded_as_the_rows_of_the_corpus(run) -> None:
    model = run.model(run.steps[-1])
    ids = run.tokenizer.encode(TEXT, add_special_tokens=False).ids
    tokens = model.to_tokens(TEXT)
    assert tokens.tolist() == [[run.tokenizer.token_to_id("<|endoftext|>"), *ids]]
    assert model.to_string(tokens[0, 1:]) == TEXT
    torch.testing.assert_close(model(TEXT), model(tokens))
    assert model.to_tokens([TEXT, "def"]).shape == (2, tokens.shape[1]), "texts of uneven length are padded"
    assert model.to_tokens(TEXT, prepend_bos=False).shape != tokens.shape, "negative control"


def test_generation_works_offline(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    written = run.model(run.steps[-1]).generate("def add(", max_new_tokens=4, do_sample=False, verbose=False)
    assert written.startswith("def add(")
    assert len(written) > len("def add(")


def test_the_tokenizer_changes_nothing_that_results_are_kept_by(run) -> None:
    model = run.model(run.steps[-1])
    digest = run.tokenizer_digest
    assert open_run("mini-seed0").tokenizer_digest == digest
    assert adopt._architecture(model.cfg) == adopt._architecture(run.model_config())
