"""MeTRAbs 3D human pose models trained on many datasets, bridged by an affine-combining autoencoder."""

__version__ = "0.1.0"
