"""Pictures that serve augmentation: backgrounds and objects that hide people. They hold no poses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from data_processing.dataset_info import RemoteFile

_HOLIDAYS = "ftp://ftp.inrialpes.fr/pub/lear/douze/data/"


@dataclass(frozen=True)
class PictureSet:
    """What `download` needs to know of a set, and how training uses it."""

    name: str
    title: str
    licence: str
    citation: str
    url: str
    files: tuple[RemoteFile, ...]
    use: str
    steps: str = ""
    sequences: tuple[str, ...] = ()
    mirrors: tuple[tuple[str, str], ...] = ()


PICTURE_SETS: Mapping[str, PictureSet] = MappingProxyType(
    {
        s.name: s
        for s in (
            PictureSet(
                name="holidays",
                title="INRIA Holidays",
                licence="copyright of the photographers; research",
                citation="Jegou et al., Hamming embedding and weak geometric consistency for large scale image search, "
                "ECCV 2008",
                url="https://lear.inrialpes.fr/~jegou/data.php",
                files=tuple(RemoteFile(f"{_HOLIDAYS}{n}", n, archive=True) for n in ("jpg1.tar.gz", "jpg2.tar.gz")),
                use="Backgrounds. Pictures with people in them are left out by `python -m data_processing backgrounds "
                "--root DIR/jpg --out BACKGROUNDS`; train with --background-dir BACKGROUNDS.",
            ),
            PictureSet(
                name="voc",
                title="Pascal VOC 2012",
                licence="Flickr's terms of use",
                citation="Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010",
                url="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
                files=(
                    RemoteFile(
                        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                        "VOCtrainval_11-May-2012.tar",
                        md5="6cd6e144f989b92b3379bac3b3de84fd",
                        archive=True,
                    ),
                ),
                use="Objects that hide people (people among them are passed over); train with --occluder-dir "
                "DIR/VOCdevkit/VOC2012.",
            ),
        )
    }
)
