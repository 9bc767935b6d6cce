-- Every statement of the store: a name, one line of prose, SQL. The decisions live in the functions of migrations/.

-- publish_configuration --
-- Agent types and hosts as this bridge's configuration has them.
select scheduler_bridge.publish_configuration(%(types)s, %(maxima)s, %(exclusive)s, %(local)s, %(quiet)s,
                                              %(attempts)s, %(retry_failed)s, %(retry_lost)s, %(backoff)s::float[],
                                              %(problems)s::text[],
                                              %(hosts)s, %(slots)s)

-- register_host --
-- A worker reports its host.
select freed, draining, seconds_left, reloads
from scheduler_bridge.register_host(%(host)s, %(slots)s, %(worker)s, %(types)s, %(broken)s::text[], %(problems)s::text[])

-- retire_host --
-- A worker that stops says so.
update scheduler_bridge.host set seen_at = '-infinity' where name = %(host)s and worker = %(worker)s

-- observe --
-- Rows inserted since the last look.
select scheduler_bridge.observe()

-- lease_streams --
-- Streams with unplanned rows, now ours for a while.
select scheduler_bridge.lease_streams(%(owner)s, %(only)s::int[], interval '4 seconds')

-- stream_rows --
-- A leased stream for the planner.
select job, stream, agent_type, host, priority, needs, own from scheduler_bridge.stream_rows(%(stream)s)

-- record_plan --
-- What the planner found; the heads that are ours to publish.
select scheduler_bridge.record_plan(%(stream)s, %(owner)s, %(planned)s::int[], %(run_from)s::int[], %(run_to)s::int[],
                                    %(heads)s::int[], %(links)s::int[], %(faulty)s::int[], %(faults)s::text[],
                                    coalesce(%(window)s::int, scheduler_bridge.hint_window()))

-- top_up --
-- Startable jobs of these streams, or of all, up to the window.
select head, job, stream, agent_type, host
from scheduler_bridge.top_up(coalesce(%(streams)s::int[], array(select stream from scheduler_bridge.stream)),
                             coalesce(%(window)s::int, scheduler_bridge.hint_window()), 200)

-- unpropose --
-- Hints that could not be published.
select scheduler_bridge.unpropose(%(jobs)s::int[])

-- claim --
-- A job for a worker that has a hint, or why not.
select kind, subject, recorded, job, stream, agent_type, epoch, data, arguments, user_pk, group_pk, priority
from scheduler_bridge.claim(%(job)s, %(worker)s, %(host)s, make_interval(secs => %(lease)s))

-- settle --
-- Readiness of jobs, read anew.
select scheduler_bridge.settle(%(jobs)s::int[])

-- started --
-- The agent's first OK.
select scheduler_bridge.started(%(job)s, %(epoch)s, %(pid)s)

-- renew --
-- All leases of a worker at once.
select job, paused, priority, verbosity
from scheduler_bridge.renew(%(worker)s, %(jobs)s::int[], %(epochs)s::int[], %(items)s::int[], make_interval(secs => %(lease)s))

-- killed --
-- Attempts that run although people have ended their rows as failed, with the text.
select a.job, coalesce(q.jq_endtext, '')
from unnest(%(jobs)s::int[], %(epochs)s::int[]) as r (job, epoch)
join scheduler_bridge.attempt a on a.job = r.job and a.epoch = r.epoch and a.ended_at is null
join jobqueue q on q.jq_pk = r.job and q.jq_endtime is not null and q.jq_end_bits >= 2

-- keep_output --
-- What running agents have printed.
select scheduler_bridge.keep_output(%(jobs)s::int[], %(epochs)s::int[], %(tails)s::bytea[])

-- keep_log_paths --
-- Where the logs of running attempts are.
select scheduler_bridge.keep_log_paths(%(jobs)s::int[], %(epochs)s::int[], %(paths)s::text[])

-- finish --
-- The end of an attempt.
select scheduler_bridge.finish(%(job)s, %(epoch)s, %(ending)s, %(items)s, %(reason)s, %(tail)s::bytea, %(obstacle)s, %(subject)s,
                               %(email)s)

-- startable --
-- What that end made possible; after its commit.
select refill, head, job, stream, agent_type, host
from scheduler_bridge.startable(%(job)s, %(epoch)s, %(following)s::int, coalesce(%(window)s::int, scheduler_bridge.hint_window()))

-- sweep_turn --
-- Whether it is this process' turn to sweep.
select scheduler_bridge.sweep_turn(
    make_interval(secs => %(turn)s), make_interval(secs => %(interval)s), make_interval(secs => %(lease)s)
)

-- reclaim --
-- Jobs whose worker no longer renews, or is dead.
select scheduler_bridge.reclaim(%(dead)s::text[])

-- owners_on --
-- Workers with running attempts on a host.
select scheduler_bridge.owners_on(%(host)s)

-- end_backoffs --
-- Jobs that may be tried again now.
select scheduler_bridge.end_backoffs()

-- look_at_slice --
-- One slice of the foreign table and of the mirror; the jobs to settle.
select scheduler_bridge.look_at_slice(%(slices)s)

-- withdraw_lost_hints --
-- Hints that led nowhere although a slot is free.
select scheduler_bridge.withdraw_lost_hints(make_interval(secs => %(after)s))

-- close_streams --
-- Streams that have ended.
select scheduler_bridge.close_streams()
