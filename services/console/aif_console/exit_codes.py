"""What the exit codes of `aif` mean to a script."""

DONE = 0
FAILED = 1
"""The execution failed or was cancelled, the factory could not be started, or there was no room for the output."""
REFUSED = 2
"""The input was bad, or the factory refused it."""
UNREACHABLE = 3
"""No factory answers."""
INTERRUPTED = 130
