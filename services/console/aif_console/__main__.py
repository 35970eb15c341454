"""`aif`, and `python -m aif_console`."""

import io
import signal
import sys


def main() -> None:
    """Run a command; what it says on failure is one message, without a traceback."""
    # Until the commands are loaded, nobody can catch an interruption: Ctrl-C ends the process as the system does.
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from aif_console.command_line import aif
    from aif_console.exit_codes import REFUSED
    from aif_console.failures import ConsoleFailure
    from aif_runtime.failures import SettingsInvalid

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A terminal that knows few characters shows the others as question marks.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        aif(prog_name="aif")
    except SettingsInvalid as invalid:
        _fail(REFUSED, *invalid.mistakes)
    except ConsoleFailure as failure:
        _fail(failure.exit_code, str(failure))


def _fail(code: int, *messages: str) -> None:
    for message in messages:
        sys.stderr.write(f"aif: {message}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
