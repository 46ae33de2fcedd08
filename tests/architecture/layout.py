"""Reads the source files for the architecture tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("proxy", "policies")
GENERATED = "proxy/pb/"


@dataclass(frozen=True)
class Module:
    """One source file."""

    path: str
    """From the repository's root, with `/`."""
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def package(self) -> str:
        """Its package's dotted name."""
        return ".".join(self.path.split("/")[:-1])

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and dotted name of everything imported, wherever in the file; `from a import b` is `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((node.lineno, f"{self._origin(node)}.{alias.name}") for alias in node.names)

    def names_from(self, package: str) -> set[str]:
        """What the file calls the things that it imports from a package."""
        return {
            alias.asname or alias.name
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom) and f"{self._origin(node)}.".startswith(f"{package}.")
            for alias in node.names
        }

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        holder = self.package.split(".")
        base = holder[: len(holder) - node.level + 1]
        return ".".join([*base, node.module] if node.module else base)


def modules() -> list[Module]:
    """Every source file of the product but the generated ones."""
    return [
        Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.relative_to(ROOT).as_posix().startswith(GENERATED)
    ]
