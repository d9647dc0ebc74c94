"""Options of the programs in environments of their own: `python -m pytest tests/benchmarks --clients-video WHEEL`."""


def pytest_addoption(parser):
    group = parser.getgroup("programs for MeTRAbs models")
    group.addoption("--clients-video", help="wheel of pose2sim 0.10.49, see docs/use-the-model.md")
    group.addoption("--clients-folder", default="", help="where the environments are made, and kept for the next time")
