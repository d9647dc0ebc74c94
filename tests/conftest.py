"""What all tests need."""

import signal

import hypothesis

# A shell tells what it runs in the background to ignore Ctrl-C, and the programs that tests start would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Random tests draw the same cases everywhere; `pytest --hypothesis-profile default` draws new ones.
hypothesis.settings.register_profile("same", derandomize=True, database=None)
hypothesis.settings.load_profile("same")
