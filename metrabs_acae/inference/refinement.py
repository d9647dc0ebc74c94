"""Poses of tracked people made anew from all frames of a video: what the frames of before and after say counts too."""

from __future__ import annotations

import dataclasses

import numpy as np

from metrabs_acae.evaluation.views import project
from metrabs_acae.inference.person_motion import refine_motion
from metrabs_acae.inference.pose_files import PEOPLE_FIELDS, People, PoseLog


def refine_log(log: PoseLog) -> PoseLog:
    """A new log of the same frames and people, with `log` as its `raw`; close both.

    One person is in memory at a time.
    """
    source = log.source
    refined = PoseLog(dataclasses.replace(source, refined=True), raw=log)
    columns = {name: log.column(name) for name in PEOPLE_FIELDS}
    times_s = log.column("times_s")[np.searchsorted(log.column("frames"), log.column("frame"))]
    by_person = np.argsort(columns["person"], kind="stable")
    poses3d = np.array(columns["poses3d"])
    for rows in np.split(by_person, np.flatnonzero(np.diff(columns["person"][by_person])) + 1):
        if len(rows):
            poses3d[rows] = refine_motion(
                times_s[rows], poses3d[rows], columns["uncertainty"][rows], source.joint_names, source.edges
            )
    start = 0
    for frame, time_s, n in zip(log.column("frames"), log.column("times_s"), log.column("n_people"), strict=True):
        rows = slice(start, start + int(n))
        people = People(**{name: column[rows] for name, column in columns.items()})
        new = {"poses3d": poses3d[rows], "poses2d": project(poses3d[rows], source.camera)}
        refined.add(int(frame), float(time_s), dataclasses.replace(people, **new))
        start = rows.stop
    return refined
