"""Poses over time as the motion of a skeleton with bones of constant length, and files of it for other programs."""
