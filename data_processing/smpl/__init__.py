"""Body models of the SMPL family, read from the user's own files: SMPL, SMPL-H and SMPL-X.

Their licences forbid passing them on, so each user downloads them from their authors (`find_model` says where).
Source of the equations: Loper et al., "SMPL: A Skinned Multi-Person Linear Model", 2015.
"""

from data_processing.smpl.files import SOURCES, find_model, load_model
from data_processing.smpl.model import BodyModel

__all__ = ["SOURCES", "BodyModel", "find_model", "load_model"]
