"""The auditor: questions to the database to which a correct system has no answer.

It shares no decision with what it audits: each question compares the foreign rows, the mirror and the ledger, as
they stand in one snapshot. A state that a correct system passes through is none of its findings:

- What can never be committed is a finding at once (a job with two running attempts).
- What a row dates is one when it has lasted longer than a sweep can take (a lease that expired).
- What no row dates is first a suspect, kept in our schema, and a finding when a later look sees it again.
"""
