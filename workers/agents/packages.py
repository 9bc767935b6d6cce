"""Which files belong to which package, and what the packages declare.

A Python distribution lists its files in RECORD; of a source tree (PKG-INFO, package.json) everything below
the folder belongs to it, unless a package further in claims it. What is in an archive belongs to the owner of
the archive.
"""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from workers.agents.declared import Declaration, from_node, from_python

Read = Callable[[str], bytes | None]  # path -> content, None: there is no such file


@dataclass(frozen=True, slots=True)
class Package:
    """A package found among the files."""

    path: str  # of its metadata
    declaration: Declaration

    @property
    def label(self) -> str:
        """Name and version for people."""
        return f"{self.declaration.name} {self.declaration.version}".strip() or self.path


def is_metadata(path: str) -> bool:
    """True for a file in which a package may say what it is."""
    folder, name = posixpath.split(path)
    return name in ("PKG-INFO", "package.json") or (name == "METADATA" and folder.endswith(".dist-info"))


class Packages:
    """All packages of a stream."""

    def __init__(self) -> None:
        self.all: list[Package] = []
        self._files: dict[str, Package] = {}
        self._folders: dict[str, Package] = {}

    @classmethod
    def among(cls, paths: Iterable[str], read: Read) -> Packages:
        """Those whose metadata is among `paths`, outer ones first."""
        packages = cls()
        for path in sorted(paths, key=lambda path: (path.count("/"), path)):
            packages._add(path, read)
        return packages

    def owner(self, path: str) -> Package | None:
        """The package a file belongs to."""
        while path:
            if package := self._files.get(path) or self._of_folder(path):
                return package
            path = path.rpartition("!/")[0]  # the archive it is in
        return None

    def _of_folder(self, path: str) -> Package | None:
        folder = posixpath.dirname(path)
        while folder and folder != "/":
            if package := self._folders.get(folder):
                return package
            folder = posixpath.dirname(folder)
        return None

    def _add(self, path: str, read: Read) -> None:
        data = read(path)
        if data is None:
            return
        folder, name = posixpath.split(path)
        declaration = from_node(data) if name == "package.json" else from_python(data)
        around = self._of_folder(path)
        if declaration is None or (around and around.declaration.name == declaration.name):
            return  # a source tree that says it twice
        package = Package(path, declaration)
        if folder.endswith((".dist-info", ".egg-info")):
            self._claim(package, folder, read)
        else:
            self._folders[folder] = package
        self.all.append(package)

    def _claim(self, package: Package, folder: str, read: Read) -> None:
        root = posixpath.dirname(folder)
        self._folders[folder] = package
        for name in _listed(read(f"{folder}/RECORD"), read(f"{folder}/installed-files.txt"), folder, root):
            self._files[name] = package
        for name in _lines(read(f"{folder}/top_level.txt")) if folder.endswith(".egg-info") else ():
            self._folders[f"{root}/{name}"] = package
            self._files[f"{root}/{name}.py"] = package


def _listed(record: bytes | None, installed: bytes | None, folder: str, root: str) -> Iterable[str]:
    names = [posixpath.join(root, row[0]) for row in csv.reader(_lines(record)) if row]
    names += [posixpath.join(folder, name) for name in _lines(installed)]
    return map(posixpath.normpath, names)


def _lines(data: bytes | None) -> list[str]:
    return data.decode("utf-8", "replace").splitlines() if data else []
