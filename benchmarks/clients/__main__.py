"""`python -m benchmarks.clients`, see `command`."""

import sys

from benchmarks.clients.command import PROGRAM, Settings, run
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse

sys.exit(exit_code(lambda: run(parse(Settings, sys.argv[1:], PROGRAM))))
