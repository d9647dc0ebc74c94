"""A published program for MeTRAbs models, unchanged, with an exported model of ours: does it find the people?

    python -m benchmarks.client_programs --model my_model --video walk.mp4 [--environment DIR] [--skeleton smpl_24]

makes an environment with the PyPI package neuropose (whose TensorFlow is older than ours; about 2 GB), or takes the
one in DIR, and lets its `process_video` loose on the video. Prints its frames, those with people, and seconds a frame;
exit code 1 if there is a frame without people.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CLIENT = """
import json, sys
from pathlib import Path
import tensorflow as tf
from neuropose.estimator import Estimator

model, video, skeleton = sys.argv[1:]
estimator = Estimator(model=tf.saved_model.load(model), skeleton=skeleton)
result = estimator.process_video(Path(video))
people = [len(frame.boxes) for frame in result.predictions.frames.values()]
seconds = sorted(result.metrics.per_frame_latencies_ms)[len(people) // 2] / 1000
print(json.dumps({"tensorflow": tf.__version__, "people": people, "seconds": seconds}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of an exported model")
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--environment", type=Path, help="is made where it is missing; none: a temporary one")
    parser.add_argument("--skeleton", default="smpl_24")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        python = environment(args.environment or Path(temporary, "neuropose"), "neuropose")
        found = run_client(python, args.model, args.video, args.skeleton)
    people = found["people"]
    print(
        f"neuropose on TensorFlow {found['tensorflow']}: {len(people)} frames, {sum(map(bool, people))} with people, "
        f"{sum(people)} people, {found['seconds']:.2f} s a frame (median)"
    )
    return int(not people or not all(people))


def environment(folder: Path, *packages: str) -> Path:
    """The Python of an environment with the packages; made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
    return python


def settings_of_clients() -> dict[str, str]:
    """The environment's variables, so that no client sees this project."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def run_client(python: Path, model: Path, video: Path, skeleton: str) -> dict:
    """TensorFlow's version, people by frame, and the median of seconds a frame, as the program tells them."""
    command = [str(python), "-c", CLIENT, str(model), str(video), skeleton]
    done = subprocess.run(command, env=settings_of_clients(), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
