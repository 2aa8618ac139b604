"""The trials that make up each experiment of the paper, as data (Wang et al. 2025).

A trial is one model trained one way: from the MS COCO start on real images alone ("coco"), on
synthetic images and then on real ones ("P"), or on both mixed ("D").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

COCO, PRETRAINED, MIXED = "coco", "P", "D"


@dataclass(frozen=True)
class Trial:
    """One model.

    Attributes
    ----------
    arm
        "coco", "P" or "D".
    real
        How many real images; None takes all.
    synthetic
        How many fused images; None for none.
    tips_per_image
        Tips fused into each.
    base
        What tips are fused into: "free" (needle-free images) or "puncture" (the real ones).
    patches
        What is fused: "generated" tips or "real" ones.
    seed
        Of the training, the drawn images and the fusion.
    """

    arm: str
    real: int | None
    synthetic: int | None = None
    tips_per_image: int = 3
    base: str = "free"
    patches: str = "generated"
    seed: int = 1

    @property
    def name(self) -> str:
        """A name for its folder, unlike that of any other trial."""
        return f"{self.arm}_real{self.real or 'all'}{self.set_name}_seed{self.seed}"

    @property
    def set_name(self) -> str:
        """A name for its fused set; empty without one."""
        if self.synthetic is None:
            return ""
        return f"_{self.patches}x{self.tips_per_image}_in_{self.base}_{self.synthetic}"

    @property
    def label(self) -> str:
        """What a table calls it, whatever the seed."""
        return self.name.rpartition("_seed")[0]


@dataclass(frozen=True)
class Size:
    """How large an experiment is.

    Attributes
    ----------
    recipe
        Of ``recipes/``; the same for every arm.
    synthetic
        Numbers of fused images to compare, ``usual`` elsewhere.
    few_real
        Numbers of real images to compare.
    tips_per_image
        Numbers of fused tips to compare.
    seeds
        Repetitions where few images make luck matter.
    least_steps
        A training on real images may last so many steps at least, that a small set too has its
        time: each of its epochs then goes through the set several times. It stops when validation
        no longer gains.
    """

    recipe: str
    synthetic: tuple[int, ...]
    usual: int
    few_real: tuple[int, ...]
    tips_per_image: tuple[int, ...]
    seeds: tuple[int, ...]
    least_steps: int


SIZES = {
    "small": Size(
        "yolot_small", (500, 1000, 2500), 2500, (256, 512, 1024), (1, 3, 5), (1, 2, 3), 800
    ),
    "full": Size(
        "yolot_published",
        (2500, 5000, 10000, 20000, 50000),
        10000,
        (256, 512, 1024, 2048, 4096),
        (1, 2, 3, 4, 5),
        (1, 2, 3),
        4000,
    ),
}


def strategies(size: Size) -> Iterator[Trial]:
    """P against D against no synthetic data, over sizes of the synthetic set."""
    yield Trial(COCO, None)
    for arm, synthetic in product((PRETRAINED, MIXED), size.synthetic):
        yield Trial(arm, None, synthetic)


def tip_numbers(size: Size) -> Iterator[Trial]:
    """How many tips to fuse into an image."""
    for tips in size.tips_per_image:
        yield Trial(PRETRAINED, None, size.usual, tips_per_image=tips)


def few_real(size: Size) -> Iterator[Trial]:
    """What synthetic pre-training is worth when few real images are labelled."""
    for real, seed in product(size.few_real, size.seeds):
        yield Trial(COCO, real, seed=seed)
        yield Trial(PRETRAINED, real, size.usual, seed=seed)


def ablations(size: Size) -> Iterator[Trial]:
    """What needle-free images and what generated tips are worth."""
    for real in size.few_real:
        full = Trial(PRETRAINED, real, size.usual)
        yield Trial(COCO, real)
        yield full
        yield replace(full, patches="real")
        yield replace(full, base="puncture")


EXPERIMENTS = {
    "strategies": strategies,
    "tips": tip_numbers,
    "few-real": few_real,
    "ablations": ablations,
}
