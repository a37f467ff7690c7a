"""Effects of heads on tokens, with a pair that comes to affect the same ones."""

import numpy as np

from experiments.heldout.overlap_changes import Effects

HEADS = ["L0H0", "L0H1", "L0H2", "L1H0", "L1H1", "L1H2"]
TOKENS, DOCUMENTS = 12_000, 60
PAIR = ("L0H1", "L1H2")


def effects_of(seed: int, together: tuple[float, float] = (0.0, 0.0), by_target: bool = False) -> Effects:
    """Noise, and for each snapshot a part that the pair has in common; by_target: all of a target's tokens alike."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 20, TOKENS)
    effect = generator.standard_normal((2, len(HEADS), TOKENS))
    of_targets = 5 * generator.standard_normal(20)[target]
    for time, size in enumerate(together):
        common = of_targets if by_target else generator.standard_normal(TOKENS)
        for name in PAIR:
            effect[time, HEADS.index(name)] += size * common
    document = np.sort(generator.integers(0, DOCUMENTS, TOKENS)) * 7
    clean = generator.exponential(size=(2, TOKENS))
    return Effects(HEADS, effect.astype(np.float32), clean, target, document)
