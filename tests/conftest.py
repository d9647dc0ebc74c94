"""What all tests need."""

import signal

# A shell tells what it runs in the background to ignore Ctrl-C, and the programs that tests start would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
