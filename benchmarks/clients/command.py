"""Published programs and packages for MeTRAbs models, unchanged, with an exported model: do they find the people?

    python -m benchmarks.clients --model my_model --video pose2sim-0.10.49-py3-none-any.whl [--only poseviz]

makes an environment for each (1.5 to 2 GB), and lets a short program in it, written as that package's users write
theirs, loose on a real video (docs/evaluation.md). The exit code is 1 where one fails, or has a frame without people.
"""

from __future__ import annotations

import functools
import http.server
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from benchmarks.environments import environment, run_program
from benchmarks.pages import made_by
from benchmarks.real_views import find_videos
from metrabs_acae.errors import UserError
from metrabs_acae.settings import setting, settings
from metrabs_acae.tables import render

PROGRAM = "python -m benchmarks.clients"
HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "clients.md"
PICTURE = "poseviz.png"
LEAST_DRAWN = 0.001
"""Of poseviz's picture; a person of a third of its height is 0.003."""
MOST_MM = 100
"""Mean distance of fitted joints; a body in the wrong unit, or joints in another order, is further away."""
NEW, OPENCV = "tensorflow-cpu==2.21.0", "opencv-python-headless==5.0.0.93"
Name = Literal["neuropose", "demo-calls-2.18", "demo-calls", "poseviz", "smplfitter"]


@dataclass(frozen=True)
class Client:
    """A program and the packages of its environment, of which the first is shown.

    Attributes:
        environment: shared by those that have the same packages.
        judged: what the program found and the folder it wrote to -> what is said of them; UserError if they are bad.
    """

    program: str
    environment: str
    packages: tuple[str, ...]
    judged: Callable[[dict, Path], str] = lambda found, out: "people in every frame"


@settings
class Settings:
    """Runs published programs for MeTRAbs models with an exported model, each in an environment of its own."""

    model: Path = setting()
    """Folder of an exported model, with a detector."""
    video: str = setting("")
    """The wheel of pose2sim 0.10.49 or a folder with its videos, whose first camera is taken, or another video; empty:
    the installed package."""
    only: tuple[Name, ...] = setting(())
    """These programs; empty: all."""
    frames: int = setting(0, at_least=0)
    """So many of the first frames of the video; 0: all."""
    folder: str = setting("")
    """Where the environments are made; those that are there are used. Empty: nothing is kept."""
    body_models: str = setting("")
    """smplfitter's folder of body models (smpl/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl and smpl/kid_template.npy);
    empty: one in that format is made from the body of the synthetic data."""
    out: str = setting("")
    """Folder for poseviz's video and a picture of it; empty: they are not kept."""
    write: bool = setting(False)
    """Write the table to benchmarks/results/clients.md."""


def run(flags: Settings) -> int:
    """1 where a program fails or does not find people in every frame."""
    if not (flags.model / "saved_model.pb").exists():
        raise UserError(f"{flags.model} is not an exported model; make one with --export.")
    rows = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        out = Path(flags.out or scratch / "out")
        out.mkdir(parents=True, exist_ok=True)
        video = find_video(flags.video, scratch, flags.frames)
        bodies = Path(flags.body_models) if flags.body_models else write_body_model(scratch / "body_models")
        for name in flags.only or CLIENTS:
            model = stack.enter_context(served(flags.model, scratch)) if "demo" in name else flags.model
            variables = {"SMPLFITTER_BODY_MODELS": str(bodies), "TFHUB_CACHE_DIR": str(scratch / "tfhub" / name)}
            place = Path(flags.folder or scratch / "environments") / CLIENTS[name].environment
            rows.append(row_of(name, place, (model, video, out), variables))
            print(json.dumps(rows[-1]), flush=True)
    table = render(rows, "markdown", digits=2)
    print(table)
    if flags.write:
        RESULTS.write_text(page(table))
    return int(any("problem" in row for row in rows))


def row_of(name: str, place: Path, arguments: tuple, variables: dict[str, str]) -> dict:
    """The table's row; with a "problem" where the program fails or what it finds is bad."""
    client = CLIENTS[name]
    row = {"program": name, "of": client.packages[0].replace("==", " ")}
    try:
        python = environment(place, *client.packages)
        found = run_program(python, HERE / client.program, *arguments, variables=variables)
        people = found["people"]
        row |= {key: found[key] for key in ("TensorFlow", "NumPy")}
        row |= {"frames": len(people), "with people": sum(map(bool, people)), "people": sum(people)}
        row |= {"s a frame": found["seconds"]}
        if not people or not all(people):
            raise UserError("frames without people")
        return row | {"result": client.judged(found, arguments[-1])}
    except subprocess.CalledProcessError as error:
        return row | {"problem": f"exit code {error.returncode}"}
    except UserError as error:
        return row | {"problem": str(error)}


def find_video(path: str, scratch: Path, n_frames: int) -> Path:
    """The video, or its first frames."""
    given = Path(path)
    is_video = path and given.is_file() and given.suffix != ".whl"
    found = given if is_video else find_videos(given if path else None, scratch)[0]
    if not n_frames:
        return found
    short, source = scratch / "first_frames.mp4", cv2.VideoCapture(str(found))
    writer = None
    for _ in range(n_frames):
        ok, frame = source.read()
        if not ok:
            break
        if writer is None:
            size = frame.shape[1::-1]
            writer = cv2.VideoWriter(str(short), cv2.VideoWriter_fourcc(*"mp4v"), source.get(cv2.CAP_PROP_FPS), size)
        writer.write(frame)
    if writer is None:
        raise UserError(f"{found} cannot be read as a video.")
    writer.release()
    return short


@contextmanager
def served(model: Path, scratch: Path) -> Iterator[str]:
    """The address of the model's archive, as `--serving tfhub` writes it, on a web server of this machine."""
    from metrabs_acae.inference.export import write_archive

    folder = Path(tempfile.mkdtemp(dir=scratch))
    (folder / "my_model").symlink_to(model.resolve())
    archive = write_archive(folder / "my_model", "my_model.tfhub.tar.gz", inside="")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{archive.name}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def write_body_model(folder: Path) -> Path:
    """The body of the synthetic data as a file of SMPL, as official ones are pickled."""
    from tests.data_processing import body_models

    body_models.write_pkl(folder / "smpl" / "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl")
    np.save(folder / "smpl" / "kid_template.npy", np.zeros_like(body_models.arrays()["v_template"]))
    return folder


def judged_calls(found: dict, out: Path) -> str:
    if found["failed"]:
        raise UserError("; ".join(f"{name}: {error}" for name, error in found["failed"].items()))
    return f"{found['calls']} ways of calling"


def judged_pictures(found: dict, out: Path) -> str:
    """By the share of the middle frame that people change; it is written as a picture."""
    video, pictures = cv2.VideoCapture(str(out / "poseviz.mp4")), []
    while (picture := video.read()[1]) is not None:
        pictures.append(picture)
    if len(pictures) != len(found["people"]) + 1:
        raise UserError(f"{len(pictures)} pictures were drawn")
    cv2.imwrite(str(out / PICTURE), pictures[len(pictures) // 2])
    last, nobody = np.int32(pictures[-2]), np.int32(pictures[-1])
    drawn = np.mean(np.abs(last - nobody).max(axis=-1) > 40)
    if drawn < LEAST_DRAWN:
        raise UserError(f"people change {drawn:.2%} of the picture")
    return f"people change {drawn:.1%} of the picture"


def judged_fit(found: dict, out: Path) -> str:
    if not found["distance_mm"] < MOST_MM:
        raise UserError(f"fitted joints are {found['distance_mm']:.0f} mm away")
    return f"fitted joints {found['distance_mm']:.0f} mm from ours (mean)"


CLIENTS = {
    "neuropose": Client("neuropose_video.py", "neuropose", ("neuropose==0.1.0.dev0", "tensorflow==2.18.1")),
    "demo-calls-2.18": Client(
        "demo_calls.py", "neuropose", ("neuropose==0.1.0.dev0", "tensorflow==2.18.1"), judged_calls
    ),
    "demo-calls": Client("demo_calls.py", "demo-calls", ("tensorflow-hub==0.16.1", NEW, OPENCV), judged_calls),
    "poseviz": Client("poseviz_video.py", "poseviz", ("poseviz==0.6.2", NEW), judged_pictures),
    "smplfitter": Client("smplfitter_video.py", "smplfitter", ("smplfitter==0.6.0", NEW, OPENCV), judged_fit),
}


def page(table: str) -> str:
    return (
        "# Programs and packages for MeTRAbs models, with an exported model\n\n"
        "Each in an environment of its own, on a real video (the first camera of pose2sim's single person, 1080 x 1920 "
        "px).\n"
        "Seconds a frame: of neuropose the median, of the others everything after loading the model, divided by the "
        "frames;\nthe first calls take seconds, and poseviz draws in software.\n"
        f"Made by {made_by(PROGRAM, sys.argv[1:])}.\n\n{table}\n"
    )
