"""Progress bars and step times in the terminal; silent when nobody watches or JSON is wanted."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Update = Callable[[int, int], None]


class Steps:
    """Runs named steps one after another, with a bar each, and keeps their wall times in seconds."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self.seconds: dict[str, float] = {}
        self._progress: Progress | None = None

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Time a step under ``title``; bars opened inside belong to it."""
        started = time.perf_counter()
        columns = (TextColumn("{task.description:34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as self._progress:
            yield
        self._progress = None
        self.seconds[title] = round(time.perf_counter() - started, 2)
        self.console.print(f"[green]done[/green] {title} ({self.seconds[title]:.1f} s)")

    def bar(self, title: str) -> Update:
        """Open a bar in the running step; call the result with (done, total)."""
        progress = self._progress
        if progress is None:
            return lambda done, total: None
        task = progress.add_task(title, total=None)
        return lambda done, total: progress.update(task, completed=done, total=total)

    def note(self, line: str) -> None:
        """Print a line above the bars."""
        self.console.print(line, highlight=False)
