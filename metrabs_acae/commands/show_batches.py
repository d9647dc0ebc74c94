"""--show-batches: a contact sheet of augmented training crops with their joints, and a table of statistics."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.commands import stores
from metrabs_acae.config import Config


def run(config: Config) -> None:
    """Writes batches.png into --out-dir and prints the table."""
    from metrabs_acae.data.show import show_batches

    config = stores.with_paper_stores(config)
    mixture = stores.training_mixture(
        config.data,
        data_dir=config.files.data_dir,
        seed=config.training.seed,
        merge_joints=config.model.merge_joints,
    )
    print(*stores.look_at_own(mixture, config.data), sep="\n", end="\n" if config.data.dataset3d else "")
    target = Path(config.files.out_dir) / "batches.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    table = show_batches(
        mixture,
        config.verbs.show_batches,
        target,
        image_size=config.model.proc_side,
        augmentations=config.augmentation.in_order(),
        workers=config.data.workers,
        max_bad_fraction=config.data.max_bad_fraction,
    )
    print(table)
    print(f"Wrote {target}")
