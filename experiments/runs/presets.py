"""The sizes that a model can be trained at.

They are tiny (tests, seconds), synthetic (a language whose patterns are known, minutes), mini (the bundled default),
small (the paper's layer geometry at a constant learning rate) and paper (arXiv:2410.02984).
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Preset:
    """Everything that a training run depends on, apart from its seed, its depth and the text itself."""

    name: str
    corpus: str
    tokenizer: str  # "train" for a BPE of the corpus, or "hf:NAME" for one from the Hugging Face hub
    code_share: float  # of the rows, for corpus "python"
    d_vocab: int
    n_ctx: int
    d_model: int
    n_heads: int
    d_head: int
    steps: int
    batch_size: int  # rows of n_ctx tokens
    lr: float
    warmup_steps: int
    decay_share: float  # the last share of the steps over which lr falls linearly to 0; 0 keeps it constant
    betas: tuple[float, float]
    weight_decay: float
    max_grad_norm: float
    precision: Literal["bf16", "fp32"]  # of the matrix products in training; weights and optimizer are fp32
    order: Literal["sampled", "sequential"]  # rows drawn with replacement, or in the order of the corpus, once
    checkpoints: tuple[int, ...]  # steps
    trajectory: tuple[int, ...] = ()  # further steps whose weights are kept in float16, for paths in function space

    def record(self) -> dict:
        """All fields as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def learning_rate(self, step: int) -> float:
        """The learning rate of the update that follows `step` updates."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        decay_steps = self.decay_share * self.steps
        cool = min(1.0, (self.steps - step) / decay_steps) if decay_steps else 1.0
        return self.lr * min(warm, cool)


def _paper_checkpoints() -> tuple[int, ...]:
    """The 107 steps of the paper's (r)LLC curves."""
    return (0, 100, *range(200, 10_001, 200), *range(10_400, 20_001, 400), *range(21_000, 50_001, 1_000))


MINI_CHECKPOINTS = (
    0,
    50,
    100,
    200,
    400,
    800,
    1600,
    2600,
    3600,
    4800,
    6000,
    7200,
    8400,
    9600,
    11_000,
    13_000,
    16_000,
    20_000,
    24_000,
    28_000,
)

# Dense through the transition that forms the induction circuit (20 to 35 million tokens).
SMALL_CHECKPOINTS = (
    *(0, 100, 200, 400, 800, 1600, 2600, 3600, 4800, 5400, 6000, 6600, 7200, 7800, 8400),
    *(9600, 11_000, 13_000, 16_000, 20_000),
)

SYNTHETIC_CHECKPOINTS = (0, 25, 50, 100, 200, 400, 700, 1000, 1300, 1700, 2200, 3000, 4000)

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="tiny",
            corpus="python",
            tokenizer="train",
            code_share=0.3,
            d_vocab=400,
            n_ctx=64,
            d_model=32,
            n_heads=4,
            d_head=8,
            steps=60,
            batch_size=8,
            lr=1e-2,
            warmup_steps=10,
            decay_share=0.3,
            betas=(0.9, 0.99),
            weight_decay=0.05,
            max_grad_norm=1.0,
            precision="fp32",
            order="sampled",
            checkpoints=(0, 10, 30, 60),
        ),
        Preset(
            name="mini",
            corpus="python",
            tokenizer="train",
            code_share=0.3,
            d_vocab=1024,
            n_ctx=256,
            d_model=128,
            n_heads=8,
            d_head=32,
            steps=28_000,
            batch_size=16,
            lr=3e-3,
            warmup_steps=200,
            decay_share=0.3,
            betas=(0.9, 0.99),
            weight_decay=0.05,
            max_grad_norm=1.0,
            precision="bf16",
            order="sampled",
            checkpoints=MINI_CHECKPOINTS,
        ),
        Preset(
            name="synthetic",
            corpus="synthetic",
            tokenizer="train",
            code_share=0.0,
            d_vocab=320,
            n_ctx=128,
            d_model=64,
            n_heads=8,
            d_head=32,
            steps=4000,
            batch_size=16,
            lr=5e-3,
            warmup_steps=100,
            decay_share=0.3,
            betas=(0.9, 0.99),
            weight_decay=0.05,
            max_grad_norm=1.0,
            precision="fp32",
            order="sampled",
            checkpoints=SYNTHETIC_CHECKPOINTS,
        ),
        Preset(
            name="small",
            corpus="python",
            tokenizer="train",
            code_share=0.3,
            d_vocab=1024,
            n_ctx=256,
            d_model=256,
            n_heads=8,
            d_head=32,
            steps=20_000,
            batch_size=16,
            lr=2e-3,
            warmup_steps=200,
            decay_share=0.0,
            betas=(0.9, 0.99),
            weight_decay=0.05,
            max_grad_norm=1.0,
            precision="bf16",
            order="sampled",
            checkpoints=SMALL_CHECKPOINTS,
            trajectory=(0, 10, 20, 50, 100, *range(200, 20_001, 200)),
        ),
        Preset(
            name="paper",
            corpus="hf:timaeus/dsir-pile-10m",
            tokenizer="hf:georgeyw/TinyStories-tokenizer-5k",
            code_share=0.0,
            d_vocab=5000,
            n_ctx=1024,
            d_model=256,
            n_heads=8,
            d_head=32,
            steps=50_000,
            batch_size=100,
            lr=1e-3,
            warmup_steps=0,
            decay_share=0.0,
            betas=(0.9, 0.999),
            weight_decay=0.05,
            max_grad_norm=1.0,
            precision="fp32",
            order="sequential",
            checkpoints=_paper_checkpoints(),
        ),
    )
}


def get(name: str) -> Preset:
    """The preset of this name; raises ValueError for an unknown one."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def build(preset: Preset, seed: int, n_layers: int) -> Any:
    """A fresh model (TransformerLens's default initialisation, `ablations.models.new`); the global random state is left
    as it was.
    """
    import torch

    from ablations import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models.new(config(preset, n_layers))


def config(preset: Preset, n_layers: int) -> dict[str, Any]:
    """The architecture, as fields by TransformerLens's names: attention only, shortformer positions, LayerNorm, untied
    unembedding.
    """
    return {
        "n_layers": n_layers,
        "d_model": preset.d_model,
        "n_ctx": preset.n_ctx,
        "d_head": preset.d_head,
        "n_heads": preset.n_heads,
        "d_vocab": preset.d_vocab,
        "attn_only": True,
        "act_fn": "gelu",
        "normalization_type": "LN",
        "positional_embedding_type": "shortformer",
    }
