"""`python -m data_processing skeletons --docs docs`: the skeleton atlas and the table of datasets."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import settings


@settings
class Settings:
    """Writes skeletons.md with a picture of every convention, and the generated part of datasets.md."""

    docs: Path = Path("docs")
    """Documentation folder."""


def run(settings: Settings) -> None:
    from data_processing import atlas, dataset_page

    settings.docs.mkdir(parents=True, exist_ok=True)
    atlas.write(settings.docs)
    (settings.docs / "datasets.md").write_text(dataset_page.page())
    print(f"{settings.docs / 'skeletons.md'}, {settings.docs / 'datasets.md'}")
