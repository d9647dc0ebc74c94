"""Rendered people with labels in many skeleton conventions: the embedded data of the default training run.

`generate.generate` writes the pose stores, `datasets` describes them.
"""
