"""What licences ask of you, and whether what was found in a package is what the package declares."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from workers.agents.spdx.expressions import family, identifiers


class Care(IntEnum):
    """How much care a licence needs when its code is shipped; the higher, the earlier it is shown."""

    PERMISSIVE = 0
    UNCLEAR = 1  # we do not know the licence
    WEAK_COPYLEFT = 2  # changes to the licensed files must be given away
    STRONG_COPYLEFT = 3  # whatever contains it must be given away
    RESTRICTED = 4  # may not be shipped, or not for every purpose

    @property
    def words(self) -> str:
        """For people."""
        return self.name.lower().replace("_", " ")


_CARE: tuple[tuple[Care, tuple[str, ...]], ...] = (
    (Care.RESTRICTED, ("LicenseRef-Proprietary", "LicenseRef-Commons-Clause")),
    (Care.RESTRICTED, ("CC-BY-NC", "CC-BY-ND", "JSON", "SSPL-", "BUSL-")),
    (Care.STRONG_COPYLEFT, ("GPL-", "AGPL-", "OSL-", "EUPL-", "CC-BY-SA")),
    (Care.WEAK_COPYLEFT, ("LGPL-", "MPL-", "EPL-", "CDDL-", "CPL-", "MS-RL", "LPPL-", "Artistic-1.0")),
    (Care.PERMISSIVE, ("LicenseRef-BSD", "LicenseRef-Public-Domain")),
    (Care.UNCLEAR, ("LicenseRef-",)),
)

# Texts that come with a licence and say nothing beyond it.
_COMES_WITH = {
    "LGPL-3.0": frozenset({"GPL-3.0"}),
    "PSF-2.0": frozenset({"Python-2.0", "0BSD"}),
    "Python-2.0": frozenset({"PSF-2.0", "HPND"}),
}


def care(expression: str) -> Care:
    """Of the licence in an expression that needs most; an exception takes one step off copyleft."""
    found = max(map(_care_of, identifiers(expression)), default=Care.UNCLEAR)
    softened = " WITH " in expression and found is Care.STRONG_COPYLEFT
    return Care.WEAK_COPYLEFT if softened else found


def _care_of(license_id: str) -> Care:
    for level, prefixes in _CARE:
        if license_id.startswith(prefixes):
            return level
    return Care.PERMISSIVE


def undeclared(found: Iterable[str], declared: frozenset[str]) -> list[str]:
    """Expressions in `found` with a licence that `declared` does not cover, most care first."""
    strange = [expression for expression in found if not _covered(expression, declared)]
    return sorted(strange, key=lambda expression: (-care(expression), expression))


def _covered(expression: str, declared: frozenset[str]) -> bool:
    covered = {family(name) for name in declared}
    covered |= {name for license_id in covered for name in _COMES_WITH.get(license_id, ())}
    if any(name.startswith("BSD-") for name in covered):
        covered.add("LicenseRef-BSD")
    elif "LicenseRef-BSD" in covered:  # then any of them will do
        covered |= {name for name in identifiers(expression) if name.startswith("BSD-")}
    each = [family(name) in covered for name in identifiers(expression)]
    return any(each) if " OR " in expression else all(each)
