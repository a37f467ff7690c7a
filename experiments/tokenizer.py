"""Byte-level BPE in which brackets and quotes stay tokens of their own; whole words for the synthetic language."""

from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from experiments import synthetic
from experiments.documents import first_line, texts

BOS = "<|endoftext|>"
OWN_TOKENS = "()[]{}\"'`"  # each is always a token of its own, so that nesting is seen token by token
TRAINING_TEXT = 8_000_000  # characters of each kind that a tokenizer is trained on


def new_tokenizer(source: str, name: str, vocabulary: int) -> Tokenizer:
    """The tokenizer that a preset asks for: trained on the corpus, or "hf:NAME" from the hub."""
    if source == "train" and name.partition(":")[0] == synthetic.NAME:
        return word_tokenizer(name, vocabulary)
    if source == "train":
        return train_tokenizer(name, vocabulary)
    try:
        return Tokenizer.from_pretrained(source.removeprefix("hf:"))
    except Exception as error:  # tokenizers raises a bare Exception
        raise ValueError(
            f"tokenizer {source}: {first_line(error)}: it needs the network, or a local Hugging Face cache"
        ) from None


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
    """Each word and mark of the synthetic language is a token: BOS is 0, others stand in `synthetic.strings`' order.

    Raises ValueError for a vocabulary of another size.
    """
    tokens = (BOS, *synthetic.strings(synthetic.parse(name).words))
    if len(tokens) != vocabulary:
        words = vocabulary - 1 - len(synthetic.MARKS)
        raise ValueError(
            f"corpus {name!r} has {len(tokens)} tokens, the preset asks for {vocabulary}: use words={words}"
        )
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    tokenizer.add_special_tokens([BOS])
    return tokenizer


def _head(documents: Iterator[str], characters: int) -> Iterator[str]:
    for text in documents:
        if characters <= 0:
            return
        characters -= len(text)
        yield text
