"""Where every head attends on a text, as one small picture for each: queries downwards, keys across, darker for more.

A picture is an image with one pixel for each pair of tokens and no background of its own, so that it stands on a light
page and on a dark one.
"""

import base64
import html
import io

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.image import imsave

INK = (30, 136, 229)  # seen on white and on black
SIDE = 132  # pixels of a picture, more where the text has more tokens
LARGEST = 320

RULES = """
.maps { display: flex; flex-wrap: wrap; gap: .7rem .9rem } .maps figure { margin: 0; flex: 0 0 auto; max-width: 100% }
.maps img { background: transparent; image-rendering: pixelated; border: 1px solid #8888; box-sizing: border-box;
width: 100%; aspect-ratio: 1 } .maps figcaption { font-size: .78rem; line-height: 1.3 }
"""


def pictures(attention: xr.DataArray) -> str:
    """One figure for each head of attention [head, query, key]."""
    return "<div class=maps>" + "".join(_figure(of_head) for of_head in attention) + "</div>"


def _figure(of_head: xr.DataArray) -> str:
    name, weights = str(of_head["head"].item()), of_head.to_numpy()
    side = min(LARGEST, max(SIDE, len(weights)))
    habits = _habits(weights)
    alt = f"attention of {name} from each of {len(weights)} tokens to those before it; on average {habits}"
    source = base64.b64encode(_png(weights)).decode()
    return (
        f'<figure style="width:{side}px"><img alt="{html.escape(alt)}" src="data:image/png;base64,{source}">'
        f"<figcaption><b>{name}</b> {habits}</figcaption></figure>"
    )


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
