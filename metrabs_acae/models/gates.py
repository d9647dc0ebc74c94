"""Which parts of the training loss are on at which step."""

from __future__ import annotations

from dataclasses import replace

from metrabs_acae.settings import setting, settings

PAPER_STEPS = 400_000


@settings
class Gates:
    """Steps at which parts of the training switch. They count from 0 and restart in a fine-tuning.

    None is the paper's step or, with `of_run`, the same share of a run of less than 40,000 steps.
    """

    weak_perspective_until: int | None = setting(None, at_least=0, flag="weak_perspective_steps")
    """First steps, whose poses are reconstructed with weak perspective; none: min(500, training_steps / 80)."""
    absolute_loss_after: int | None = setting(None, at_least=-1, flag="absloss_start_step")
    """Step after which the absolute loss counts; none: min(5000, training_steps / 8)."""
    teacher_loss_after: int | None = setting(None, at_least=-1, flag="teacher_loss_start_step")
    """Step after which the loss between latents and encoded joints counts; none: min(5000, training_steps / 8)."""
    inference_mode_steps: int | None = setting(None, at_least=0, flag="finetune_in_inference_mode")
    """Last steps, trained with frozen batch normalization statistics; none: min(1000, training_steps / 40)."""

    def of_run(self, total_steps: int = PAPER_STEPS) -> Gates:
        """The gates of a run of this length: what is None becomes a number."""
        shares = {
            "weak_perspective_until": min(500, total_steps // 80),
            "absolute_loss_after": min(5000, total_steps // 8),
            "teacher_loss_after": min(5000, total_steps // 8),
            "inference_mode_steps": min(1000, total_steps // 40),
        }
        return replace(self, **{name: step for name, step in shares.items() if getattr(self, name) is None})

    def use_weak_perspective(self, step):
        """Boolean scalar for an integer step (number or tensor)."""
        from keras import ops  # here and below: the command line is put together without Keras

        return ops.less(step, self.of_run().weak_perspective_until)

    def absolute_loss(self, step):
        """1.0 where the absolute loss is on, else 0.0."""
        from keras import ops

        return ops.cast(ops.greater(step, self.of_run().absolute_loss_after), "float32")

    def teacher_loss(self, step):
        """1.0 where the teacher loss is on, else 0.0."""
        from keras import ops

        return ops.cast(ops.greater(step, self.of_run().teacher_loss_after), "float32")


def gates_for(total_steps: int) -> Gates:
    """The paper's steps, shortened in proportion for runs below 40,000 steps."""
    return Gates().of_run(total_steps)
