"""The command line as a process would see it, called within a test."""

import sys

import pytest

from slipstick.flow import cli


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of ``slipstick ARGUMENTS``."""
    monkeypatch.setattr(sys, "argv", ["slipstick", *arguments])
    try:
        return cli.run()
    except SystemExit as stop:
        return int(stop.code or 0)
