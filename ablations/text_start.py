"""Which token a text starts with, as its tokenizer says."""

from tokenizers import Tokenizer

BOS = "<|endoftext|>"  # where the tokenizer says nothing


def starts_with(tokenizer: Tokenizer) -> str:
    """The token that the tokenizer itself puts before a text (as its post-processor); <|endoftext|> without one."""
    if not tokenizer.num_special_tokens_to_add(False):
        return BOS
    try:
        encoding = tokenizer.encode("a")
    except Exception:  # a bare one of tokenizers: a vocabulary of words need not have this one
        encoding = tokenizer.encode("")
    return encoding.tokens[0] if encoding.special_tokens_mask[0] else BOS
