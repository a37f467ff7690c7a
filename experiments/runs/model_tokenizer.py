"""A run's tokenizer on its models, so that `model("text")`, `to_tokens` and `generate` work, without the network."""

from tokenizers import Tokenizer
from transformer_lens import HookedTransformer
from transformers import PreTrainedTokenizerFast

from experiments.corpora.tokenizer import starts_with


def attach(model: HookedTransformer, tokenizer: Tokenizer) -> HookedTransformer:
    """The model itself with the tokenizer: texts begin with BOS, as the rows it was trained on, and are padded by it on
    the right. The tokenizer stays as it is. A tokenizer without BOS is left out.

    `HookedTransformer.set_tokenizer` asks the network, or the disk, for the tokenizer by its name.
    """
    first = starts_with(tokenizer)
    if tokenizer.token_to_id(first) is None:
        return model
    copy = Tokenizer.from_str(tokenizer.to_str())
    fast = PreTrainedTokenizerFast(
        tokenizer_object=copy, bos_token=first, eos_token=first, pad_token=first, padding_side="right"
    )
    model.tokenizer = fast
    model.cfg.tokenizer_prepends_bos = len(fast.encode("")) > 0
    return model
