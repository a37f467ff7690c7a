"""A transformer with HookedTransformer's names for weights and hooks, for where TransformerLens has no such class.

TransformerLens 4 removed HookedTransformer, and its own models know no shortformer positions. This module is what runs
are then made of, and what the hook forms of ablations and discovery run on; it computes what `forward` does, of any
`Configuration`. Initialised with the same seed it has the same weights as HookedTransformer, to the bit.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.hook_points import HookPoint

from ablations import mlp, padding, rotary
from ablations.configuration import Configuration

Returned = Literal["logits", "loss", "both"]
STACKED = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")
INITIAL = 0.8  # standard deviation of initial weights, times the root of d_model


class Embed(nn.Module):
    """What each token writes."""

    def __init__(self, cfg: Configuration) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: Int64[Tensor, "batch pos"]) -> Tensor:
        return F.embedding(tokens, self.W_E)


class PosEmbed(nn.Module):
    """What each position writes, or adds to what queries and keys read."""

    def __init__(self, cfg: Configuration) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, places: Int64[Tensor, "batch pos"]) -> Tensor:
        return F.embedding(places, self.W_pos)


class Unembed(nn.Module):
    """Logits of a normalised residual stream."""

    def __init__(self, cfg: Configuration) -> None:
        super().__init__()
        self.W_U = nn.Parameter(torch.empty(cfg.d_model, cfg.d_vocab))
        self.b_U = nn.Parameter(torch.zeros(cfg.d_vocab))

    def forward(self, residual: Tensor) -> Tensor:
        return residual @ self.W_U + self.b_U


class Norm(nn.Module):
    """A layer norm, or a root mean square norm, with its weights where it has any."""

    def __init__(self, cfg: Configuration, width: int, kind: str) -> None:
        super().__init__()
        self.centres, self.eps = not kind.startswith("RMS"), cfg.eps
        if not kind.endswith("Pre"):
            self.w = nn.Parameter(torch.ones(width))
            if self.centres:
                self.b = nn.Parameter(torch.zeros(width))
        self.hook_scale, self.hook_normalized = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True) if self.centres else x
        x = self.hook_normalized(x / self.hook_scale((x.square().mean(-1, keepdim=True) + self.eps).sqrt()))
        x = x * self.w if hasattr(self, "w") else x
        return x + self.b if hasattr(self, "b") else x


class Attention(nn.Module):
    """All heads of a layer."""

    def __init__(self, cfg: Configuration) -> None:
        super().__init__()
        self.cfg = cfg
        into, out = (cfg.n_heads, cfg.d_model, cfg.d_head), (cfg.n_heads, cfg.d_head, cfg.d_model)
        # in HookedTransformer's order, which decides the random numbers that each starts with
        self.W_Q, self.W_O = nn.Parameter(torch.empty(into)), nn.Parameter(torch.empty(out))
        self.b_Q, self.b_O = nn.Parameter(torch.zeros(into[::2])), nn.Parameter(torch.zeros(cfg.d_model))
        self.W_K, self.W_V = nn.Parameter(torch.empty(into)), nn.Parameter(torch.empty(into))
        self.b_K, self.b_V = nn.Parameter(torch.zeros(into[::2])), nn.Parameter(torch.zeros(into[::2]))
        self.hook_q, self.hook_k, self.hook_v, self.hook_z = (HookPoint() for _ in range(4))
        self.hook_attn_scores, self.hook_pattern = HookPoint(), HookPoint()

    def forward(self, read: Sequence[Tensor], text: Bool[Tensor, "batch pos"], by: rotary.Rotary | None) -> Tensor:
        """read: by queries, keys and values, [batch, pos, d_model] or one for each head; text: what is no padding."""
        q = self.hook_q(_projected(read[0], self.W_Q, self.b_Q))
        k = self.hook_k(_projected(read[1], self.W_K, self.b_K))
        v = self.hook_v(_projected(read[2], self.W_V, self.b_V))
        q, k = rotary.turned(q, by), rotary.turned(k, by)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / self.cfg.attn_scale
        past = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        seen = past & (text[:, None, None] | past.T)  # padding is seen by itself alone
        scores = self.hook_attn_scores(scores.masked_fill(~seen, float("-inf")))
        pattern = self.hook_pattern(scores.softmax(-1))
        z = self.hook_z(torch.einsum("bhqk,bkhd->bqhd", pattern, v))
        return torch.einsum("bqhd,hdm->bqm", z, self.W_O) + self.b_O


class Feedforward(nn.Module):
    """The MLP of a layer."""

    def __init__(self, cfg: Configuration) -> None:
        super().__init__()
        self.cfg, width = cfg, int(cfg.d_mlp or 4 * cfg.d_model)
        first, last = nn.Parameter(torch.empty(cfg.d_model, width)), nn.Parameter(torch.empty(width, cfg.d_model))
        b_in, b_out = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(cfg.d_model))
        if cfg.gated_mlp:  # in HookedTransformer's order
            self.W_in, self.W_out, self.W_gate = first, last, nn.Parameter(torch.empty(cfg.d_model, width))
            self.b_in, self.b_out = b_in, b_out
        else:
            self.W_in, self.b_in, self.W_out, self.b_out = first, b_in, last, b_out
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()
        if mlp.normalises(cfg):
            self.ln = Norm(cfg, width, "LN" if cfg.normalization_type in ("LN", "RMS") else "LNPre")

    def forward(self, read: Float[Tensor, "batch pos d_model"]) -> Tensor:
        activation = mlp.ACTIVATIONS[str(self.cfg.act_fn)]
        if self.cfg.gated_mlp:
            hidden = activation(self.hook_pre(read @ self.W_gate)) * (read @ self.W_in) + self.b_in
        else:
            hidden = activation(self.hook_pre(read @ self.W_in + self.b_in))
        hidden = self.ln(hidden) if mlp.normalises(self.cfg) else hidden
        return self.hook_post(hidden) @ self.W_out + self.b_out


class Block(nn.Module):
    """A layer: its heads, and its MLP after or beside them."""

    def __init__(self, cfg: Configuration) -> None:
        super().__init__()
        self.cfg = cfg
        self.ln1 = _norm(cfg)
        if not cfg.attn_only:
            self.ln2 = _norm(cfg)
        self.attn = Attention(cfg)
        if not cfg.attn_only:
            self.mlp, self.hook_mlp_in = Feedforward(cfg), HookPoint()
        self.hook_q_input, self.hook_k_input, self.hook_v_input = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_out, self.hook_mlp_out = HookPoint(), HookPoint()
        self.hook_resid_pre, self.hook_resid_mid, self.hook_resid_post = HookPoint(), HookPoint(), HookPoint()

    def forward(
        self,
        residual: Tensor,
        positions: Tensor | None,
        text: Bool[Tensor, "batch pos"],
        by: rotary.Rotary | None,
        split: bool,
    ) -> Tensor:
        residual = self.hook_resid_pre(residual)
        if split:  # each head's own, before the norm
            each = residual.unsqueeze(2).expand(-1, -1, self.cfg.n_heads, -1)
            read = [self.ln1(hook(each)) for hook in (self.hook_q_input, self.hook_k_input, self.hook_v_input)]
        else:
            read = [self.ln1(residual)] * 3
        if positions is not None:  # of a shortformer
            added = positions.unsqueeze(2) if split else positions
            read = [read[0] + added, read[1] + added, read[2]]
        after = residual + self.hook_attn_out(self.attn(read, text, by))
        if self.cfg.attn_only:
            return self.hook_resid_post(after)
        before = residual if self.cfg.parallel_attn_mlp else self.hook_resid_mid(after)
        return self.hook_resid_post(after + self.hook_mlp_out(self.mlp(self.ln2(self.hook_mlp_in(before)))))


class Transformer(HookedRootModule):
    """A whole model; weights are random until they are loaded, with a seed those of a HookedTransformer."""

    def __init__(self, cfg: Configuration, tokenizer: Any = None, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        if cfg.rotary_scaling:
            raise ValueError(
                f"rotary positions with {cfg.rotary_scaling[0][0]} need a HookedTransformer of TransformerLens 3"
            )
        self.cfg, self.tokenizer, self.use_split_qkv_input = cfg, tokenizer, False
        usual = torch.get_default_dtype()
        torch.set_default_dtype(dtype)  # initial weights are drawn in it
        try:
            self._build(cfg)
        finally:
            torch.set_default_dtype(usual)
        self.setup()

    def _build(self, cfg: Configuration) -> None:
        self.embed, self.hook_embed = Embed(cfg), HookPoint()
        if cfg.positional_embedding_type != "rotary":
            self.pos_embed, self.hook_pos_embed = PosEmbed(cfg), HookPoint()
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_layers))
        self.ln_final = _norm(cfg)
        self.unembed = Unembed(cfg)
        for name, parameter in self.named_parameters():
            if "W_" in name:
                nn.init.normal_(parameter, std=INITIAL / cfg.d_model**0.5)

    def set_use_split_qkv_input(self, value: bool) -> None:
        """Whether hooks see what each head reads, `hook_q_input` and its siblings [batch, pos, head, d_model]."""
        self.use_split_qkv_input = value

    def run_with_cache(self, *arguments: Any, **named: Any) -> tuple[Any, ActivationCache]:
        """What `forward` gives, and the activations at all hooks, or at those that `names_filter` names."""
        returned, cache = super().run_with_cache(*arguments, **named)
        return returned, ActivationCache(cache, self)

    def forward(
        self,
        input: str | Sequence[str] | Int64[Tensor, "batch pos"],
        return_type: Returned | None = "logits",
        loss_per_token: bool = False,
    ) -> Any:
        """Logits [batch, pos, d_vocab], the next-token loss in nats (its mean, or of each token), both, or None."""
        tokens = (input if isinstance(input, Tensor) else self.to_tokens(input)).to(self.embed.W_E.device)
        if tokens.shape[1] > self.cfg.n_ctx:
            raise ValueError(
                f"rows of {tokens.shape[1]} tokens do not fit the model's context of {self.cfg.n_ctx}: cut them"
            )
        padded = padding.padding_of(self)
        text = torch.ones_like(tokens, dtype=torch.bool)
        if padded is not None and padded.left:
            text = padding.is_text(padded, tokens)
        places = (text.cumsum(1) - 1).clamp(min=0)  # of a text that begins after padding
        residual, positions, by = self.hook_embed(self.embed(tokens)), None, None
        if self.cfg.positional_embedding_type == "rotary":
            sin, cos = self.angles()
            by = rotary.Rotary(sin[places], cos[places], bool(self.cfg.rotary_adjacent_pairs))
        else:
            positions = self.hook_pos_embed(self.pos_embed(places))
            if self.cfg.positional_embedding_type == "standard":
                residual, positions = residual + positions, None
        for block in self.blocks:
            residual = block(residual, positions, text, by, self.use_split_qkv_input)
        if return_type is None:
            return None
        logits = self.unembed(self.ln_final(residual))
        if return_type == "logits":
            return logits
        each = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        loss = each.view(len(tokens), -1) if loss_per_token else each.mean()
        return loss if return_type == "loss" else (logits, loss)

    def angles(self) -> tuple[Float[Tensor, "pos rotary_dim"], Float[Tensor, "pos rotary_dim"]]:
        """Sines and cosines of rotary positions."""
        cfg, weight = self.cfg, self.embed.W_E
        assert cfg.rotary_dim is not None and cfg.rotary_base is not None
        table = rotary.table(cfg.rotary_dim, cfg.n_ctx, cfg.rotary_base, cfg.rotary_adjacent_pairs, weight.dtype)
        return table.sin.to(weight.device), table.cos.to(weight.device)

    def to_tokens(self, input: str | Sequence[str], prepend_bos: bool = True) -> Int64[Tensor, "batch pos"]:
        """Texts as tokens, BOS first unless the tokenizer adds it itself or it is not wanted; uneven ones padded."""
        if self.tokenizer is None:
            raise ValueError("the model has no tokenizer: give int64 tokens [row, pos]")
        texts = [input] if isinstance(input, str) else list(input)
        adds = len(self.tokenizer.encode("")) > 0
        if prepend_bos and not adds and self.tokenizer.bos_token is not None:
            texts = [self.tokenizer.bos_token + text for text in texts]
        tokens: Tensor = self.tokenizer(texts, return_tensors="pt", padding=len(texts) > 1)["input_ids"]
        return tokens[:, 1:] if adds and not prepend_bos else tokens

    def to_string(self, tokens: Int64[Tensor, "*row pos"]) -> str | list[str]:
        """The text of a row of tokens, or of several."""
        if self.tokenizer is None:
            raise ValueError("the model has no tokenizer to write its tokens as text")
        if tokens.ndim == 1:
            return str(self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))
        return list(self.tokenizer.batch_decode(tokens, clean_up_tokenization_spaces=False))

    @torch.no_grad()
    def generate(
        self,
        input: str,
        max_new_tokens: int = 10,
        do_sample: bool = True,
        temperature: float = 1.0,
        verbose: bool = False,
    ) -> str:
        """The text with more tokens, drawn from the model's predictions or the likeliest; it ends with its EOS.

        verbose: shows how far it is.
        """
        tokens = self.to_tokens(input)
        for _ in tqdm(range(max_new_tokens), "tokens", disable=not verbose):
            logits = self(tokens[:, -self.cfg.n_ctx :])[0, -1]
            drawn = (logits / temperature).softmax(-1).multinomial(1) if do_sample else logits.argmax(-1, keepdim=True)
            tokens = torch.cat((tokens, drawn[None]), 1)
            if drawn.item() == self.tokenizer.eos_token_id:
                break
        return str(self.tokenizer.decode(tokens[0], skip_special_tokens=True))

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        """The embedding."""
        return self.embed.W_E

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        """The positions, where they are no rotary ones."""
        return self.pos_embed.W_pos

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab"]:
        """The unembedding."""
        return self.unembed.W_U

    @property
    def b_U(self) -> Float[Tensor, " d_vocab"]:
        """Its bias."""
        return self.unembed.b_U

    def __getattr__(self, name: str) -> Any:
        """W_Q, W_K, W_V, W_O and b_Q, b_K, b_V, b_O of all layers, the layer first, as HookedTransformer has them."""
        if name in STACKED:
            return torch.stack([getattr(block.attn, name) for block in self.blocks])
        return super().__getattr__(name)


def _norm(cfg: Configuration) -> nn.Module:
    return nn.Identity() if cfg.normalization_type is None else Norm(cfg, cfg.d_model, cfg.normalization_type)


def _projected(read: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """read @ W + b for every head; read: the same for all of them, or one for each."""
    form = "bphm,hmd->bphd" if read.ndim == 4 else "bpm,hmd->bphd"
    return torch.einsum(form, read, weight) + bias
