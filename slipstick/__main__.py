"""``python -m slipstick``: the command line."""

import os
import sys

STOPPED = 128 + 2  # by signal 2, as shells count


def main() -> None:
    """Run the command line; user errors end in one line and exit code 2, Ctrl-C in one line and 130."""
    # Threads that wait for each other must not spin on cores that others use; read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from slipstick.flow.cli import run

        code = run()
    except KeyboardInterrupt:  # also while modules load
        code = STOPPED
    except SystemExit as end:  # the library of commands ends so, and says nothing of Ctrl-C
        if end.code != STOPPED:
            raise
        code = STOPPED
    if code == STOPPED:
        print("slipstick: stopped", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
