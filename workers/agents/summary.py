"""Everything found in a stream, joined and counted: what the report says, as plain values."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from workers.agents.judgement import Care, care, undeclared
from workers.agents.packages import Package, Packages
from workers.agents.spdx.expressions import family, identifiers

LIST_OF_LICENSES = 8  # different licences in one file: it is about licences, not under them


@dataclass(frozen=True, slots=True)
class LicenseRow:
    """One finding of the license agent."""

    path: str
    license: str
    kind: str  # tag, text, notice, reference
    line: int


@dataclass(frozen=True, slots=True)
class CopyrightRow:
    """One finding of the copyright agent."""

    path: str
    holder: str
    years: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read from the database."""

    stream: int
    files: int  # with content
    bytes: int
    inputs: tuple[str, ...]
    agents: dict[str, str]  # finished ones and their versions
    cached: int  # files that the agents knew from before, of all of them together
    licenses: Sequence[LicenseRow]
    copyrights: Sequence[CopyrightRow]
    mimetypes: Sequence[tuple[str, int]]
    notes: Sequence[tuple[str, str, str]]  # agent, path, text

    @property
    def problems(self) -> int:
        """Notes on what should have been looked at and could not be."""
        return sum(not text.startswith("skipped:") for _, _, text in self.notes)


@dataclass(slots=True)
class LicenseCount:
    """A licence over all files."""

    license: str
    files: int = 0
    packages: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class HolderCount:
    """A copyright holder over all files."""

    holder: str
    files: int = 0
    first: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A licence in a package that the package does not declare."""

    license: str
    care: Care
    files: int
    example: str  # path
    line: int


@dataclass(slots=True)
class PackageSummary:
    """What a package declares beside what is in it."""

    package: Package
    found: Counter[str] = field(default_factory=Counter)  # by tags, texts and notices; licence -> files
    undeclared: list[Evidence] = field(default_factory=list)
    unconfirmed: bool = False  # nothing found in it shows what it declares


@dataclass(slots=True)
class Summary:
    """The report, before it is written."""

    facts: Facts
    root: str  # common beginning of all paths, not repeated for people
    licenses: list[LicenseCount]
    mentioned: list[tuple[str, int]]  # only named, nowhere applied
    packages: list[PackageSummary]
    outside: list[Evidence]  # licences of files that belong to no package
    lists: list[tuple[str, int]]  # files about licences, and how many
    holders: list[HolderCount]
    licensed_files: int
    copyright_files: int

    @property
    def disagreeing(self) -> list[PackageSummary]:
        """Packages with something undeclared, those that need most care first."""
        rows = [row for row in self.packages if row.undeclared and row.package.declaration.text]
        return sorted(rows, key=lambda row: -row.undeclared[0].care)

    @property
    def undeclaring(self) -> list[PackageSummary]:
        """Packages that declare nothing, or nothing we can read."""
        return [row for row in self.packages if not row.package.declaration.licenses]


def summarise(facts: Facts, packages: Packages) -> Summary:
    """Join and count."""
    named: dict[str, set[str]] = defaultdict(set)
    for row in facts.licenses:
        named[row.path].add(row.license)
    lists = {path: len(found) for path, found in named.items() if len(found) >= LIST_OF_LICENSES}
    applied = [row for row in facts.licenses if row.kind != "reference" and row.path not in lists]
    owners = {row.path: packages.owner(row.path) for row in applied}
    return Summary(
        facts=facts,
        root=_root(facts.inputs),
        licenses=_licenses(applied, owners),
        mentioned=_mentioned(facts.licenses, applied, lists),
        packages=_packages(packages, applied, owners),
        outside=_evidence([row for row in applied if owners[row.path] is None]),
        lists=sorted(lists.items()),
        holders=_holders(facts.copyrights),
        licensed_files=len(owners),
        copyright_files=len({row.path for row in facts.copyrights}),
    )


def _root(inputs: Sequence[str]) -> str:
    if len(inputs) != 1:
        return posixpath.commonpath(inputs) if inputs and all(path.startswith("/") for path in inputs) else ""
    return inputs[0]


def _licenses(applied: Iterable[LicenseRow], owners: dict[str, Package | None]) -> list[LicenseCount]:
    counts: dict[str, LicenseCount] = {}
    places: dict[str, set[str]] = defaultdict(set)
    for row in applied:
        count = counts.setdefault(row.license, LicenseCount(row.license))
        count.files += 1
        count.kinds[row.kind] += 1
        if package := owners[row.path]:
            places[row.license].add(package.path)
    for license_id, paths in places.items():
        counts[license_id].packages = len(paths)
    return sorted(counts.values(), key=lambda count: (-count.files, count.license))


def _mentioned(
    rows: Iterable[LicenseRow], applied: Iterable[LicenseRow], lists: dict[str, int]
) -> list[tuple[str, int]]:
    families = {family(name) for row in applied for name in identifiers(row.license)}
    only = Counter(
        row.license
        for row in rows
        if row.kind == "reference" and row.path not in lists and family(row.license) not in families
    )
    return only.most_common()


def _packages(
    packages: Packages, applied: Iterable[LicenseRow], owners: dict[str, Package | None]
) -> list[PackageSummary]:
    rows: dict[str, list[LicenseRow]] = defaultdict(list)
    for row in applied:
        if package := owners[row.path]:
            rows[package.path].append(row)
    in_order = sorted(packages.all, key=lambda package: (package.label.lower(), package.path))
    return [_package(package, rows[package.path]) for package in in_order]


def _package(package: Package, rows: list[LicenseRow]) -> PackageSummary:
    declared = package.declaration.licenses
    found = Counter(row.license for row in rows)
    strange = undeclared(found, declared)
    return PackageSummary(
        package=package,
        found=found,
        undeclared=_evidence([row for row in rows if row.license in strange]),
        unconfirmed=bool(declared) and len(strange) == len(found),
    )


def _evidence(rows: Iterable[LicenseRow]) -> list[Evidence]:
    """One for each licence, those that need most care first; the strongest finding is the example."""
    order = {"text": 0, "tag": 1, "notice": 2}
    by_license: dict[str, list[LicenseRow]] = defaultdict(list)
    for row in rows:
        by_license[row.license].append(row)
    found = []
    for license_id, places in by_license.items():
        best = min(places, key=lambda row: (order[row.kind], row.path.count("/"), row.path))
        found.append(Evidence(license_id, care(license_id), len(places), best.path, best.line))
    return sorted(found, key=lambda evidence: (-evidence.care, -evidence.files, evidence.license))


def _holders(rows: Iterable[CopyrightRow]) -> list[HolderCount]:
    counts: dict[str, HolderCount] = {}
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = row.holder.casefold().removeprefix("the ").rstrip(".")
        count = counts.setdefault(key, HolderCount(row.holder))
        if (key, row.path) not in seen:
            seen.add((key, row.path))
            count.files += 1
        first, _, last = row.years.partition("-")
        count.first = min(filter(None, (count.first, first)), default="")
        count.last = max(count.last, last or first)  # "present" comes behind every year
    return sorted(counts.values(), key=lambda count: (-count.files, count.holder))
