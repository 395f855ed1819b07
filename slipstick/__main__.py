"""``python -m slipstick``: the command line."""

import os


def main() -> None:
    """Run the command line; user errors end in one line and exit code 2."""
    # Threads that wait for each other must not spin on cores that others use; read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from slipstick.flow.cli import run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
