"""Which of a model's outputs a folder of images belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipstick.errors import UserError

HINT = "name every folder by its class's number, from 0"
TOOLS = {"lost+found", "System Volume Information"}


@dataclass(frozen=True)
class Classes:
    """How many outputs a model has, and by what names these are known, each a mapping of names to numbers."""

    outputs: int
    names: Sequence[Mapping[str, int]] = ()

    def numbers(self, folder: Path, found: Sequence[str]) -> list[int]:
        """The output that every class folder of ``folder`` stands for.

        The number that it is named by; else the number of the class that it names (a synset of ImageNet, say); else,
        if there are as many folders as outputs, its place in alphabetical order. Raises UserError for anything else:
        labels must not be guessed.
        """
        plural = f"{folder}: {len(found)} class folder{'s' * (len(found) != 1)}, the model has {self.outputs} outputs"
        if len(found) > self.outputs:
            raise UserError(f"{plural}; take a model of as many outputs, or remove folders that are no class of it")
        digits = [name for name in found if is_number(name)]
        if len(digits) == len(found):
            return self._numbered(folder, found)
        if digits:
            other = next(name for name in found if not is_number(name))
            raise UserError(f"{folder}: folder {digits[0]} is named by a number, {other!r} is not; {HINT}")
        for names in self.names:
            if all(name.casefold() in names for name in found):
                chosen = [names[name.casefold()] for name in found]
                if len(set(chosen)) == len(chosen):
                    return chosen
        if len(found) == self.outputs:
            return list(range(len(found)))
        unknown = [name for name in found if not any(name.casefold() in names for names in self.names)]
        which = f", and {unknown[0]!r} is no class that it knows" if self.names and unknown else ""
        raise UserError(f"{plural}{which}; {HINT}")

    def _numbered(self, folder: Path, found: Sequence[str]) -> list[int]:
        numbers = [int(name) for name in found]
        if max(numbers) >= self.outputs:
            raise UserError(
                f"{folder}: folder {found[numbers.index(max(numbers))]} has no output in a model of {self.outputs}, "
                f"numbered 0 to {self.outputs - 1}; {HINT}"
            )
        for number in numbers:
            if numbers.count(number) > 1:
                twice = [name for name in found if int(name) == number]
                raise UserError(f"{folder}: folders {' and '.join(twice)} are the same class; join them")
        return numbers


def is_number(name: str) -> bool:
    """Whether a folder's name is a class's number."""
    return name.isascii() and name.isdigit()


def is_class_folder(name: str) -> bool:
    """Whether a folder may stand for a class: not one that an operating system or a tool left behind."""
    return not name.startswith((".", "__", "@", "$")) and name not in TOOLS
