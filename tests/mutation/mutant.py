"""What a mutant is: one place of the product changed for the worse."""

from dataclasses import dataclass
from pathlib import Path


class MovedError(Exception):
    """The place is not there any more, or there is more than one; mend the list of mutants."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`find` stands exactly once in `path`; one of `tests`, words for pytest, must fail with
    `put` in its place.
    """

    name: str
    attacks: str
    path: str
    find: str
    put: str
    tests: tuple[str, ...]

    @property
    def is_kernel(self) -> bool:
        return self.path.startswith("bpf/")

    def apply(self, tree: Path) -> str:
        """Change the file below `tree`; return what it was.

        Raises:
            MovedError: `find` does not stand there exactly once.
        """
        file = tree / self.path
        before = file.read_text()
        count = before.count(self.find)
        if count != 1:
            raise MovedError(f"{self.name}: {self.path} has {count} times: {self.find!r}")
        file.write_text(before.replace(self.find, self.put))
        return before


def broken(
    path: str, tests: tuple[str, ...], *places: tuple[str, str, str, str]
) -> tuple[Mutant, ...]:
    """Mutants of one file that the same tests must notice: name, what it attacks, find, put."""
    return tuple(
        Mutant(name, attacks, path, find, put, tests) for name, attacks, find, put in places
    )
