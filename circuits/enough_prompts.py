"""How many prompts it takes until an effect can pass: few prompts find nothing, however large the effects are.

An effect passes the t-test of `answer_tests` by the size of its mean against its standard deviation over prompts. At a
false-discovery rate q over m paths one that is alone needs p <= q / m (Benjamini and Hochberg 1995). So n prompts let
an effect pass whose standard deviation is below

    sqrt(n) / t(1 - q / 2m; n - 1)

times its mean, t being Student's quantile: 2% of it for three prompts and 257 paths. There is no number below which
nothing can pass but two; what an effect takes depends on how alike it is on all prompts. Where several paths pass
together each takes a little less. The other test, of the answers against other tokens, is passed by one prompt already.
"""

import math

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

RATE = 0.05  # of false discoveries
MOST = 1_000_000  # prompts: an effect that takes more is none


def largest_spread(prompts: int, paths: int, rate: float = RATE) -> float:
    """The standard deviation over prompts, in units of its mean, up to which an effect passes by itself; 0 for a single
    prompt, which no effect passes on.
    """
    check(paths, rate)
    if prompts < 2:
        return 0.0
    return float(math.sqrt(prompts) / stats.t.isf(rate / (2 * paths), prompts - 1))


def prompts_needed(paths: int, spread: float = 1.0, rate: float = RATE) -> int:
    """The fewest prompts on which an effect with this standard deviation, in units of its mean, passes by itself; at
    most `MOST`.

    Raises ValueError for a spread that is no positive number, no paths and no rate.

    Example:

        >>> prompts_needed(paths=257), prompts_needed(paths=257, spread=0.5)
        (21, 10)
    """
    check(paths, rate)
    if not spread > 0:
        raise ValueError(f"spread={spread}: give a positive one, in units of the mean")
    few, many = 1, 2
    while many < MOST and largest_spread(many, paths, rate) < spread:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if largest_spread(middle, paths, rate) < spread else (few, middle)
    return min(many, MOST)


def check(paths: int, rate: float) -> None:
    """Raises ValueError for no paths and for what is no rate."""
    if paths < 1 or not 0 < rate < 1:
        raise ValueError(f"paths={paths}, rate={rate}: give one path or more, and a rate between 0 and 1")


def note(
    effect: Float[np.ndarray, " path"], se: Float[np.ndarray, " path"], found: Bool[np.ndarray, " path"], prompts: int
) -> str:
    """What is to be said of effects (means over prompts) and their standard errors where prompts are few; else nothing.

    Few are fewer than an effect takes whose standard deviation is its mean. A sentence without a full stop; it names
    the number that would do for the largest effect, where that was not found.
    """
    paths = len(effect)
    enough = prompts_needed(paths)
    if prompts >= enough:
        return ""
    least, rate = largest_spread(prompts, paths), f"a false-discovery rate of {_percent(RATE)} over {paths} paths"
    passes = f"an effect passes {rate} if its standard deviation over prompts is below {_percent(least)} of it"
    few = f"{prompts} prompts are few: {passes}" if prompts > 1 else f"1 prompt is too few: nothing passes {rate}"
    largest = _of_largest(effect, se, found, prompts)
    remedy = f"give more ({enough} for an effect as large as its standard deviation), or read the effects alone"
    return "; ".join(part for part in (few, largest, remedy) if part)


def _of_largest(
    effect: Float[np.ndarray, " path"], se: Float[np.ndarray, " path"], found: Bool[np.ndarray, " path"], prompts: int
) -> str:
    """How many prompts the largest effect takes, or why it does not pass; nothing where it does, or nobody can tell."""
    at = int(np.abs(effect).argmax())
    spread = float(se[at] * math.sqrt(prompts) / abs(effect[at])) if effect[at] else math.nan
    if found[at] or not 0 < spread < math.inf:
        return ""
    of_it = f"the largest here ({effect[at]:.2f}, {_percent(spread)})"
    needed = prompts_needed(len(effect), spread)
    return f"{of_it} takes {needed}" if needed > prompts else f"{of_it} moves other tokens as much as the answers"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
