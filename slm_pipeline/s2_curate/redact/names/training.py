"""Training of the tagger. `python -m slm_pipeline.s2_curate.redact.names.training` writes the weights file that the package carries."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slm_pipeline.s2_curate.redact.finds import Find
from slm_pipeline.s2_curate.redact.names import generator, pools, weights
from slm_pipeline.s2_curate.redact.names.library_text import passages
from slm_pipeline.s2_curate.redact.names.network import DILATIONS, REACH, TAGS, Network
from slm_pipeline.s2_curate.redact.names.tokens import LENGTH, ROWS, SLOTS, features, fingerprint, normal, tokens


@dataclass(frozen=True)
class Recipe:
    """Sizes of a training: `width` of the network, `texts` generated for it, of each text's tokens `batch` in a step."""

    width: int = 64
    texts: int = 300_000
    batch: int = 2048
    rate: float = 3e-3
    seed: int = 4

    def __str__(self) -> str:
        return f"generator {generator.VERSION}, seed {self.seed}, {self.texts} texts, width {self.width}"


def labelled(text: str, finds: list[Find]) -> list[tuple[str, bool, int]]:
    """Tokens of a text with whether white space stands before each, and the number of its tag (BIO)."""
    made, at, inside = [], 0, False
    for match in tokens(text):
        while at < len(finds) and finds[at].end <= match.start():
            at, inside = at + 1, False
        tag = "O"
        if at < len(finds) and match.start() >= finds[at].start:
            tag, inside = f"{'I' if inside else 'B'}-{finds[at].kind}", True
        made.append((match[0][:LENGTH], match.start() > 0 and text[match.start() - 1].isspace(), TAGS.index(tag)))
    return made


class Encoder:
    """Rows of tokens as training sees them: gazetteers do not know two of five names, and not every word is known by heart, as it will
    be with words that the generator has never made."""

    def __init__(self, masks: dict[int, int], rng: random.Random):
        self._masks, self._rng = masks, rng
        self._held: dict[tuple, list[int]] = {}

    def rows(self, token: str, spaced: bool, tag: int) -> list[int]:
        """SLOTS rows of a token."""
        key = fingerprint(normal(token))
        named = TAGS[tag] != "O"
        hidden = self._rng.random() < 0.35 if named else self._rng.random() < 0.1
        word = self._rng.random() > (0.5 if named else 0.15)
        asked = (token, spaced, hidden, word)
        if asked not in self._held:
            self._held[asked] = features(token, spaced, 0 if hidden else self._masks.get(key, 0), word)
        return self._held[asked]


def batches(recipe: Recipe, masks: dict[int, int]):
    """Steps of (rows (n, SLOTS), tags (n,), mask (n, 1)): texts one after another, with REACH empty tokens (tag -1) between them."""
    rng = random.Random(recipe.seed)
    encoder = Encoder(masks, rng)
    plain = passages(rng)
    gap = [([0] * SLOTS, -1)] * REACH
    held: list[tuple[list[int], int]] = list(gap)
    for number in range(recipe.texts):
        text, finds = next(plain) if number % 6 == 5 else generator.text(rng)
        held += [(encoder.rows(token, spaced, tag), tag) for token, spaced, tag in labelled(text, finds)]
        held += gap
        if len(held) >= recipe.batch:
            tags = np.array([tag for _, tag in held], dtype=np.int64)
            yield np.array([rows for rows, _ in held], dtype=np.int64), tags, (tags >= 0).astype(np.float32)[:, None]
            held = list(gap)


def train(recipe: Recipe, report: Any = print) -> Network:
    """A network trained by a recipe: the same recipe gives the same weights on the same machine and number of threads. Cross-entropy of
    tags, Adam, a learning rate that rises for 5 % of the steps and falls to nothing."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(recipe.seed)
    masks = pools.gazetteers()
    d = recipe.width
    table = nn.Parameter(torch.randn(ROWS, d) * 0.1)
    mix = [nn.Parameter(torch.randn(3 * d, d) * (2 / (3 * d)) ** 0.5) for _ in DILATIONS]
    bias = [nn.Parameter(torch.zeros(d)) for _ in DILATIONS]
    out, out_bias = nn.Parameter(torch.randn(d, len(TAGS)) * d**-0.5), nn.Parameter(torch.zeros(len(TAGS)))
    optimizer = torch.optim.Adam([table, *mix, *bias, out, out_bias], lr=recipe.rate, betas=(0.9, 0.98))
    steps, losses = recipe.texts * TOKENS_PER_TEXT / recipe.batch, []

    for step, (rows, tags, inside) in enumerate(batches(recipe, masks)):
        share = min(step / steps, 1)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * min(share / 0.05, (1 - share) / 0.95 + 0.01)
        keep = torch.from_numpy(inside)
        held = torch.from_numpy(rows)
        x = F.dropout(F.embedding_bag(held, table, mode="sum", padding_idx=0), 0.1) * keep
        for weight, shift, reach in zip(mix, bias, DILATIONS, strict=True):
            y = F.pad(F.layer_norm(x, (d,)) * keep, (0, 0, reach, reach))
            y = torch.cat([y[: -2 * reach], y[reach:-reach], y[2 * reach :]], dim=1) @ weight + shift
            x = (x + F.dropout(F.relu(y), 0.1)) * keep
        loss = F.cross_entropy(F.layer_norm(x, (d,)) @ out + out_bias, torch.from_numpy(tags), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 100 == 99:
            report(f"step {step + 1} of about {steps:.0f}: loss {np.mean(losses[-100:]):.4f}")

    known = np.array(sorted(masks), dtype=np.uint32)
    return Network(
        table=table.detach().numpy(),
        mix=[m.detach().numpy() for m in mix],
        bias=[b.detach().numpy() for b in bias],
        out=out.detach().numpy(),
        out_bias=out_bias.detach().numpy(),
        known=known,
        masks=np.array([masks[int(k)] for k in known], dtype=np.uint8),
    )


TOKENS_PER_TEXT = 40  # about, with the gap: the learning rate needs to know when the end comes


def main() -> None:
    """Write the package's weights file; on one thread, for the number of threads is part of how sums are rounded."""
    import torch

    torch.set_num_threads(1)
    recipe = Recipe()
    weights.save(train(recipe), Path(__file__).with_name("weights.npz"), str(recipe))


if __name__ == "__main__":
    main()
