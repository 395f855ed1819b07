"""``python -m slipstick``: the command line."""


def main() -> None:
    """Run the command line; user errors end in one line and exit code 2."""
    from slipstick.flow.cli import run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
