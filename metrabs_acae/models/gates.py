"""Which parts of the training loss are on at which step."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops


@dataclass(frozen=True)
class Gates:
    """Step thresholds; the defaults are the paper's. Steps count from 0 and restart in fine-tuning.

    Attributes:
        weak_perspective_until: the pose is reconstructed with weak perspective while step < this.
        absolute_loss_after: the absolute loss counts while step > this.
        teacher_loss_after: the teacher loss of the hybrid variant counts while step > this.
        inference_mode_steps: length of the last phase, run with frozen batch statistics.
    """

    weak_perspective_until: int = 500
    absolute_loss_after: int = 5000
    teacher_loss_after: int = 5000
    inference_mode_steps: int = 1000

    def use_weak_perspective(self, step):
        """Boolean scalar for an integer step (number or tensor)."""
        return ops.less(step, self.weak_perspective_until)

    def absolute_loss(self, step):
        """1.0 where the absolute loss is on, else 0.0."""
        return ops.cast(ops.greater(step, self.absolute_loss_after), "float32")

    def teacher_loss(self, step):
        """1.0 where the teacher loss is on, else 0.0."""
        return ops.cast(ops.greater(step, self.teacher_loss_after), "float32")


def gates_for(total_steps: int) -> Gates:
    """The paper's thresholds, shortened in proportion for runs below 40,000 steps."""
    losses_after = min(5000, total_steps // 8)
    return Gates(
        weak_perspective_until=min(500, total_steps // 80),
        absolute_loss_after=losses_after,
        teacher_loss_after=losses_after,
        inference_mode_steps=min(1000, total_steps // 40),
    )
