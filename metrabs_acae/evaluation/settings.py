"""Settings of predicting and scoring."""

from __future__ import annotations

from typing import Literal

from metrabs_acae.settings import setting, settings


@settings
class Benchmark:
    """How a benchmark's people are predicted and scored."""

    protocol: str = setting("", used_by=("predict", "evaluate FILE"))
    """Benchmark's rules: a name as in docs/evaluation.md, or MODULE:NAME of your own; empty: generic or, in --evaluate,
    those that the file was predicted by."""
    predictions: str = setting("", used_by=("predict",))
    """File that --predict writes; empty: predictions/STORE.npz in the run folder."""
    truth: str = setting("")
    """Pose store that holds the labels, as STORE or STORE:SPLIT; empty: that which was predicted."""
    protocol_options: tuple[str, ...] = setting(())
    """Options of the protocol as NAME=VALUE, e.g. missing=skip; a protocol prints those it has."""
    boxes_from: Literal["", "store", "detector"] = setting("", used_by=("predict",))
    """Where --predict has people's boxes from; empty: as the benchmark's protocol says."""
    real_intrinsics: bool = setting(False, used_by=("predict",))
    """Use the cameras' intrinsics in 3DPW, too, where a field of view of 55 degrees is assumed otherwise."""
    root: str = setting("", used_by=("train", "evaluate"))
    """Joint (or several, JOINT,JOINT: their middle) at which the poses of pose stores are put together before they are
    scored, or mean: the mean of all joints; empty: the pelvis, the middle of the hips or, without these, the mean."""
    report_dir: str = setting("")
    """Folder for the tables of --evaluate FILE; empty: FILE without its suffix."""
    report_format: Literal["text", "markdown", "latex", "csv", "json"] = setting("text")
    """How --evaluate FILE prints them; the folder has all formats but text."""
