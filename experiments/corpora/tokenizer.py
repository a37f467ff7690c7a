"""Tokenizers: byte-level BPE in which brackets and quotes stay tokens of their own, words, and those of other models.

Words are the tokens of the synthetic language.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from ablations.text_start import BOS as BOS
from ablations.text_start import starts_with as starts_with
from experiments.corpora import names, synthetic_language
from experiments.corpora.documents import first_line, texts
from experiments.storage.files import is_missing_path

OWN_TOKENS = "()[]{}\"'`"  # each is always a token of its own, so that nesting is seen token by token
TOKENIZER_FILES = ["*token*", "vocab*", "merges*", "*.model", "config.json"]  # of a repository
TRAINING_TEXT = 8_000_000  # characters of each kind that a tokenizer is trained on


def new_tokenizer(source: str, name: str, vocabulary: int) -> Tokenizer:
    """The tokenizer that a preset asks for: trained on the corpus, or "hf:NAME" from the hub."""
    if source == "train" and name.partition(":")[0] == names.SYNTHETIC:
        return word_tokenizer(name, vocabulary)
    if source == "train":
        return train_tokenizer(name, vocabulary)
    return pretrained(source.removeprefix("hf:"))


def pretrained(name: str) -> Tokenizer:
    """The tokenizer of a repository on the Hugging Face hub, of a folder, or of a file as tokenizer.json is.

    With a tokenizer.json the files beside it count, which say how a text starts. Raises ValueError where there is none.
    """
    file = Path(name)
    if file.is_file() and file.name != "tokenizer.json":
        return _in_file(file)
    if not file.exists() and (file.suffix == ".json" or is_missing_path(name)):
        raise ValueError(f"tokenizer {name}: no such file or folder")
    name = str(file.parent) if file.is_file() else name
    from huggingface_hub import snapshot_download
    from transformers import AutoTokenizer

    try:
        # transformers by itself would not see that a cached repository without a config.json never had one
        folder = name if Path(name).is_dir() else snapshot_download(name, allow_patterns=TOKENIZER_FILES)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # transformers raises many kinds
        raise ValueError(f"tokenizer {name}: {unreachable(error)}: {download(name)}") from None
    return plain(tokenizer)


def _in_file(file: Path) -> Tokenizer:
    """The tokenizer in a file of another name than tokenizer.json; raises ValueError for one that is none."""
    try:
        return plain(Tokenizer.from_file(str(file)))
    except Exception as error:  # tokenizers raises Exception itself
        raise ValueError(
            f"tokenizer {file}: {first_line(error)}: give a file as tokenizer.json is, or a folder with one"
        ) from None


def unreachable(error: Exception) -> str:
    """Why something could not be had, in the words of the library that tried."""
    return (
        "the network may not be used (HF_HUB_OFFLINE)"
        if "offline mode is enabled" in str(error)
        else first_line(error).rstrip(".")
    )


def download(name: str) -> str:
    """What to do where a repository of the Hugging Face hub cannot be had."""
    return (
        f"download it where there is network with `hf download {name}` "
        "and set HF_HOME to a copy of that cache, or give a local folder"
    )


def plain(tokenizer: Any, bos: str | None = None) -> Tokenizer:
    """A copy of a `tokenizers.Tokenizer`, or of a fast tokenizer of transformers, that says what starts a text.

    bos: the token that rows start with (default: what the tokenizer says itself). Raises ValueError for any other kind
    of tokenizer, and for a token that it does not have.
    """
    fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(fast, Tokenizer):
        raise ValueError(
            f"{type(tokenizer).__name__} is no Tokenizer, nor a fast one of transformers: give one of these"
        )
    copy = Tokenizer.from_str(fast.to_str())
    copy.no_truncation()
    copy.no_padding()
    first = bos or getattr(tokenizer, "bos_token", None) or starts_with(copy)
    if first != starts_with(copy):
        if copy.token_to_id(first) is None:
            raise ValueError(f"bos={first!r}: the tokenizer has no such token; give one of its own")
        special = [(first, copy.token_to_id(first))]
        copy.post_processor = processors.TemplateProcessing(single=[first, "$A"], special_tokens=special)  # type: ignore[assignment]
    return copy


def padded(tokenizer: Tokenizer, d_vocab: int) -> Tokenizer:
    """Adds tokens that no text has where the model has up to 1% more than the tokenizer; returns the tokenizer.

    Models' vocabularies are often made multiples of a round number. A tokenizer that lacks more stays as it is.
    """
    missing = d_vocab - tokenizer.get_vocab_size()
    if 0 < missing <= d_vocab // 100:
        tokenizer.add_special_tokens([f"<|padding {number}|>" for number in range(d_vocab - missing, d_vocab)])
    return tokenizer


def misfit(tokenizer: Tokenizer, d_vocab: int) -> str:
    """Why a tokenizer cannot be that of a model with so many tokens; empty when it can."""
    vocabulary = tokenizer.get_vocab()
    if len(vocabulary) != d_vocab:
        return f"the tokenizer has {len(vocabulary)} tokens, the model {d_vocab}"
    last = max(vocabulary.values())
    return f"the tokenizer has a token {last}, the model's are 0 to {d_vocab - 1}" if last >= d_vocab else ""


def check_fits(tokenizer: Tokenizer, d_vocab: int) -> None:
    """Raises ValueError for a tokenizer that cannot be that of a model with so many tokens, and says what to do."""
    if reason := misfit(tokenizer, d_vocab):
        raise ValueError(
            f"{reason}: give the one that it was trained with, and where the model has more, name them "
            "(tokenizer.add_special_tokens)"
        )


def train_tokenizer(name: str, vocabulary: int) -> Tokenizer:
    """A byte-level BPE with this many tokens, trained on the train split; brackets and quotes never merge."""
    tokenizer = Tokenizer(models.BPE())
    own = pre_tokenizers.Split(Regex("[" + "".join("\\" + c for c in OWN_TOKENS) + "]"), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([own, byte_level])  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    kinds = [f"{name}:code", f"{name}:prose"] if name == "python" else [name]
    tokenizer.train_from_iterator((t for kind in kinds for t in _head(texts(kind, "train"), TRAINING_TEXT)), trainer)
    if tokenizer.get_vocab_size() != vocabulary:
        raise ValueError(
            f"corpus {name!r} gives {tokenizer.get_vocab_size()} tokens, "
            f"the preset asks for {vocabulary}: use more text"
        )
    return tokenizer


def word_tokenizer(name: str, vocabulary: int) -> Tokenizer:
    """Each word and mark of the synthetic language is a token: BOS is 0, others as in `synthetic_language.strings`.

    Raises ValueError for a vocabulary of another size.
    """
    tokens = (BOS, *synthetic_language.strings(synthetic_language.parse(name).words))
    if len(tokens) != vocabulary:
        words = vocabulary - 1 - len(synthetic_language.MARKS)
        raise ValueError(
            f"corpus {name!r} has {len(tokens)} tokens, the preset asks for {vocabulary}: use words={words}"
        )
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    tokenizer.add_special_tokens([BOS])
    return tokenizer


def _head(documents: Iterator[str], characters: int) -> Iterator[str]:
    """The first documents that hold so many characters together."""
    for text in documents:
        if characters <= 0:
            return
        characters -= len(text)
        yield text
