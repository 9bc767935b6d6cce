"""Leases: who may act on a job, and until when a holder may believe it.

The database's clock decides when a lease has expired. A holder cannot read that clock between renewals, so it
counts on its own monotonic clock from the moment *before* it asked: what it believes then ends no later than the
database's truth, and a holder that cannot reach the database stops its agent before anybody else may start one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

RENEWALS_PER_LEASE = 3  # two may be lost


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as its holder knows it; times are seconds of the holder's monotonic clock."""

    seconds: float  # length as granted
    asked_at: float  # just before the claim or the last successful renewal was asked for

    @property
    def trusted_until(self) -> float:
        """After this the holder must not act any more."""
        return self.asked_at + self.seconds

    @property
    def due_at(self) -> float:
        """When to renew."""
        return self.asked_at + self.seconds / RENEWALS_PER_LEASE

    def renewed(self, asked_at: float) -> Lease:
        """The lease after a renewal that was asked for at `asked_at` has succeeded."""
        return replace(self, asked_at=asked_at)
