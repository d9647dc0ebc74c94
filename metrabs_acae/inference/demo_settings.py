"""What can be set of a demo."""

from __future__ import annotations

from typing import Literal

from metrabs_acae.inference.multiview_settings import Multiview
from metrabs_acae.settings import section, setting, settings


@settings
class Demo:
    """Settings of --demo."""

    boxes: str = setting("")
    """People's boxes LEFT,TOP,WIDTH,HEIGHT[;...] in pixels, the same for everything, or a JSON file
    {file name: [[left, top, width, height], ...]}; empty: the model's detector."""
    skeleton: str = setting("")
    """Named skeleton to draw; empty: the model's first."""
    intrinsics: str = setting("")
    """Focal lengths and principal point FX,FY,CX,CY in pixels; empty: from --fov."""
    camera: str = setting("")
    """File of calibrated cameras (JSON, TOML, OpenCV's or Qualisys's) in place of --intrinsics; of several cameras the
    one called like the photograph or video."""
    fov: float | None = setting(None, above=0, below=180)
    """Field of view along the larger side, degrees; none: from a photograph's EXIF data, else 55."""
    num_aug: int | None = setting(None, above=0, used_by=("demo", "predict"))
    """Test-time augmentations to average; none: one in --demo, the benchmark's own in --predict."""
    detector_threshold: float = setting(0.3, at_least=0, at_most=1)
    """Lowest score of a detection."""
    detector_nms_iou_threshold: float = setting(0.5, at_least=0, at_most=1)
    """Of two detections that overlap more (intersection over union) the one with the lower score is dropped."""
    suppress_implausible_poses: bool = setting(False)
    """Drop poses that do not look like the detected person, as detect_poses does; a weak model then loses people."""
    outputs: tuple[Literal["overlay", "json", "npz", "viewer", "bvh", "glb", "trc", "csv"], ...] = setting(
        ("overlay", "json", "npz", "viewer")
    )
    """What to write: pictures or video with the poses drawn in, files of poses, an interactive 3D page; motion for
    Blender (bvh, glb), for OpenSim (trc), joint angles (csv)."""
    floor: bool = setting(False)
    """Files of motion: put the floor, estimated from where feet are lowest, at height 0; else the camera is there."""
    track: bool = setting(True)
    """Videos: give a person the same number and colour in all frames."""
    refine: bool = setting(True)
    """Videos from files: in the end, poses of tracked people are made anew from all frames together."""
    smooth: bool = setting(False)
    """In place of --refine: smooth the poses of tracked people, looking at past frames only."""
    frames_per_batch: int = setting(8, above=0)
    """Videos: frames that the model sees at once."""
    max_frames: int = setting(0, at_least=0)
    """Videos and webcams: stop after this many frames; 0: no limit."""
    multiview: Multiview = section(Multiview)
