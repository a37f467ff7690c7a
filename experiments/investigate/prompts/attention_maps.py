"""Where every head attends on a text, as one small picture for each: queries downwards, keys across, darker for more.

A picture is an image with one pixel for each pair of tokens and no background of its own, so that it stands on a light
page and on a dark one.
"""

import base64
import io

import numpy as np
import xarray as xr
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.image import imsave

from experiments.pages.layout.environment import macros

INK = (30, 136, 229)  # seen on white and on black
SIDE = 132  # pixels of a picture, more where the text has more tokens
LARGEST = 320


def pictures(attention: xr.DataArray) -> Markup:
    """One figure for each head of attention [head, query, key]."""
    made: Markup = macros("attention").maps([_figure(of_head) for of_head in attention])
    return made


def _figure(of_head: xr.DataArray) -> tuple[str, int, str, int, str]:
    """The head, how many tokens there are, its habits, the picture's side in pixels, and the picture."""
    weights = of_head.to_numpy()
    side = min(LARGEST, max(SIDE, len(weights)))
    picture = base64.b64encode(_png(weights)).decode()
    return str(of_head["head"].item()), len(weights), _habits(weights), side, picture


def _habits(weights: Float[np.ndarray, "query key"]) -> str:
    """What a head gives on average to the first token, to the one before and to the token itself, in percent. Queries
    that have all three apart from each other: from the third token on.
    """
    rows = weights[2:] if len(weights) > 2 else weights[1:]
    queries = np.arange(len(weights) - len(rows), len(weights))
    shares = {"first": rows[:, 0], "previous": weights[queries, queries - 1], "itself": weights[queries, queries]}
    return ", ".join(f"{what} {share.mean():.0%}" for what, share in shares.items())


def _png(weights: Float[np.ndarray, "query key"]) -> bytes:
    pixels = np.zeros((*weights.shape, 4), np.uint8)
    pixels[..., :3] = INK
    pixels[..., 3] = np.round(255 * np.clip(weights, 0, 1) ** 0.75)
    content = io.BytesIO()
    imsave(content, pixels, format="png", metadata={"Software": "devcircuits"})  # not a version
    return content.getvalue()
