"""Makes the project's own copy of weights: those of a published file, in half precision.

    python -m metrabs_acae.models.backbones.convert blazepose-full-multiscale pose_landmark_full.tflite

(blazepose-full reads its part of the file that this makes.)
The file is part of the npm package @mediapipe/pose 0.5.1675469404 (`npm pack @mediapipe/pose@0.5.1675469404`) and of
the PyPI package mediapipe 0.10.21 (`pip download --no-deps mediapipe==0.10.21`, in mediapipe/modules/pose_landmark).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from metrabs_acae.models.backbones.lite_backbones import BACKBONES
from metrabs_acae.models.backbones.lite_weights import save_npz

IMAGE_SIZE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=BACKBONES)
    parser.add_argument("file", type=Path, help="weights as published")
    parser.add_argument("--out", type=Path, help="default: the folder that the project reads from")
    args = parser.parse_args()
    out = (
        args.out or Path(__file__).parent / "assets" / f"{args.name.removesuffix('-multiscale').replace('-', '_')}.npz"
    )
    save_npz(BACKBONES[args.name].read(args.file, IMAGE_SIZE), out)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
