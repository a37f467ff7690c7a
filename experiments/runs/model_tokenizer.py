"""A run's tokenizer on its models, so that `model("text")`, `to_tokens` and `generate` work, without the network."""

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from ablations.models import Model
from ablations.transformer import Transformer
from experiments.corpora.tokenizer import starts_with


def attach(model: Model, tokenizer: Tokenizer) -> Model:
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
    if not isinstance(model, Transformer):  # which asks the tokenizer itself
        model.cfg.tokenizer_prepends_bos = len(fast.encode("")) > 0
    return model
