"""What the auditor asks, and how long it lets things be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """A question to which a correct system has no answer."""

    name: str  # of its statement in audit.sql
    sentence: str  # what is wrong, about the ids


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How long things may be as they are; seconds. All times are those of the database."""

    # Twice the round in which the sweep looks at every open row: one round may be lost with its process.
    grace: float = 120
    # A claim notes the time at which its transaction began, and then waits for the locks of its limits.
    slack: float = 10
    # Longer than the first waits between two tries (30 s, 2 min, 8 min, 32 min) and an outage of the mail's worker.
    mail: float = 2 * 3600
    # The ledger is read so far back; beat audits every five minutes, a person asks about this hour.
    ledger: float = 2 * 3600


CHECKS = (
    Check("lost", "waiting rows of jobqueue are not in the mirror: no bridge takes them in"),
    Check("ended", "rows have ended or are gone and are still in the mirror"),
    Check("runs_twice", "jobs have two running attempts"),
    Check("completed_twice", "jobs were completed by two attempts"),
    Check("attempts_overlap", "an attempt ended long after the next one at the same job had been claimed"),
    Check("not_the_last_attempt", "an attempt runs that is not the last at its job"),
    Check(
        "lease_without_job", "an attempt runs whose job is not claimed by its worker, or whose row is gone"
    ),
    Check("claim_without_lease", "jobs are claimed without a running attempt"),
    Check("start_without_lease", "rows say Started by an attempt that has ended"),
    Check("lease_without_start", "agents run whose rows say that they have not started"),
    Check("lease_expired", "leases have expired and are not taken back: does a sweep run?"),
    Check("end_without_start", "rows have an end without a start, of an attempt that ran"),
    Check("endings_differ", "row and ledger disagree about how the job ended"),
    Check("items_differ", "row and ledger disagree about the items processed"),
    Check("prerequisite_failed", "jobs wait although a prerequisite has failed or does not exist"),
    Check("no_hint", "jobs wait without a hint or a reason although their stream stands still"),
    Check("waits_for_nothing", "jobs wait, not startable, without a dependency that would explain it"),
    Check("stale_reason", "jobs wait for a reason that has gone"),
    Check("hint_unanswered", "hints are not answered by hosts that have free slots, or nobody can take them"),
    Check("edge_satisfied", "dependencies are waited for that are satisfied or gone"),
    Check("edge_missing", "dependencies of waiting jobs are not in the mirror"),
    Check("host_over_slots", "hosts run more agents than they have slots"),
    Check("type_over_maximum", "more agents of a type run than its max allows"),
    Check("exclusive_not_alone", "jobs that run alone run beside others"),
    Check("stream_without_jobs", "streams without an open job are not closed"),
    Check("jobs_without_stream", "streams have open jobs and are closed"),
    Check("unplanned", "jobs are in the mirror and not planned"),
    Check("mail_overdue", "mails about streams are due for hours"),
)
SENTENCES = {check.name: check.sentence for check in CHECKS}
