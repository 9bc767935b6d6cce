-- Every question of the auditor: a name, one line of prose, SQL that returns (id, since) and should return nothing.
-- since: '-infinity' for what no transaction may leave behind, the time for what a row dates, null for what none does.
-- History is not scanned: foreign rows are asked for one by one, by primary key (`offset 0` keeps it so whatever the
-- planner's statistics say), from what is open in our schema or has ended lately in the ledger; of jobqueue itself
-- the newest rows are read, and one slice of the older ones a look.

-- bounds --
-- The database's clock, the highest number, where the slice stands, the suspects of earlier looks.
select now(), (select coalesce(max(q.jq_pk), 0) from public.jobqueue q), a.slice, a.suspects from scheduler_bridge.audit a

-- lost --
-- Rows that `mirror` takes in and that are not there; suspects are asked again although their slice is over.
select q.jq_pk, null::timestamptz
from (
    select q.jq_pk from public.jobqueue q where q.jq_pk > %(newest_above)s::int and q.jq_endtime is null
    union
    select q.jq_pk from public.jobqueue q
    where q.jq_pk > %(slice_from)s::int and q.jq_pk <= %(slice_to)s::int and q.jq_endtime is null
    union
    select unnest(%(lost_before)s::int[])
) looked
cross join lateral (select * from public.jobqueue q where q.jq_pk = looked.jq_pk offset 0) q
join public.job j on j.job_pk = q.jq_job_fk
where q.jq_endtime is null and q.jq_end_bits < 2 and (q.jq_starttime is null or q.jq_starttime >= '9999-12-31')
  and q.jq_type <> 'command' and not exists (select from scheduler_bridge.open_job o where o.job = q.jq_pk)

-- ended --
-- Also rows that somebody else has ended while an agent ran: it learns that within a renewal.
select o.job, q.jq_endtime
from scheduler_bridge.open_job o left join lateral (
    select q.jq_pk, q.jq_endtime, q.jq_end_bits from public.jobqueue q where q.jq_pk = o.job offset 0
) q on true
where q.jq_pk is null or q.jq_endtime is not null or q.jq_end_bits >= 2

-- runs_twice --
-- Two running attempts.
select a.job, timestamptz '-infinity' from scheduler_bridge.attempt a where a.ended_at is null group by a.job having count(*) > 1

-- completed_twice --
-- A row that somebody has set back by hand after its completion shows too; not an agent that came to its end when its row had
-- been ended from outside.
select distinct a.job, timestamptz '-infinity'
from (select * from scheduler_bridge.attempt a where a.ended_at > now() - make_interval(secs => %(ledger)s)
      order by a.ended_at desc limit %(attempts)s) a
where a.epoch > 1 and a.ending = 'completed' and a.reason not like 'ended from outside%%' and exists (
    select from scheduler_bridge.attempt b where b.job = a.job and b.epoch < a.epoch and b.ending = 'completed'
      and b.reason not like 'ended from outside%%'
)

-- attempts_overlap --
-- An attempt that ended after a later one had been claimed.
with later as (
    select a.job, a.epoch, a.claimed_at
    from (select * from scheduler_bridge.attempt a where a.ended_at > now() - make_interval(secs => %(ledger)s)
          order by a.ended_at desc limit %(attempts)s) a
    where a.epoch > 1 and a.worker is not null
    union all
    select a.job, a.epoch, a.claimed_at from scheduler_bridge.attempt a where a.ended_at is null and a.epoch > 1
)
select distinct l.job, timestamptz '-infinity'
from later l join scheduler_bridge.attempt b on b.job = l.job and b.epoch < l.epoch
where b.ended_at > l.claimed_at + make_interval(secs => %(slack)s)

-- not_the_last_attempt --
-- A running attempt whose number is not the job's.
select a.job, timestamptz '-infinity' from scheduler_bridge.attempt a join scheduler_bridge.open_job o on o.job = a.job
where a.ended_at is null and o.epoch <> a.epoch

-- lease_without_job --
-- The row itself may have been deleted: the worker learns that within a renewal.
select a.job, case when o.job is null or o.worker is distinct from a.worker then timestamptz '-infinity' end
from scheduler_bridge.attempt a left join scheduler_bridge.open_job o on o.job = a.job
where a.ended_at is null
  and (o.job is null or o.worker is distinct from a.worker or not exists (select from public.jobqueue q where q.jq_pk = a.job))

-- claim_without_lease --
-- Claimed in the mirror, with nothing in the ledger that runs.
select o.job, timestamptz '-infinity' from scheduler_bridge.open_job o
where o.worker is not null and not exists (select from scheduler_bridge.attempt a where a.job = o.job and a.ended_at is null)

-- start_without_lease --
-- Rows whose start is that of an attempt which has ended; another scheduler's start has another time. Rows that somebody has
-- let wait again by hand without taking their start away show too: nobody starts them.
with over as (
    select a.job, a.started_at
    from (select * from scheduler_bridge.attempt a where a.ended_at > now() - make_interval(secs => %(ledger)s)
          order by a.ended_at desc limit %(attempts)s) a
    where a.started_at is not null
    union
    select a.job, a.started_at
    from scheduler_bridge.open_job o join scheduler_bridge.attempt a on a.job = o.job and a.epoch = o.epoch
    where o.worker is null and a.started_at is not null and a.ended_at is not null
)
select v.job, timestamptz '-infinity'
from over v cross join lateral (select * from public.jobqueue q where q.jq_pk = v.job offset 0) q
where q.jq_starttime = v.started_at and q.jq_endtime is null and q.jq_end_bits < 2
  and not exists (select from scheduler_bridge.attempt a where a.job = v.job and a.ended_at is null)

-- lease_without_start --
-- Rows that somebody has set back while an agent runs: it learns that within a renewal.
select a.job, null::timestamptz
from scheduler_bridge.attempt a cross join lateral (select * from public.jobqueue q where q.jq_pk = a.job offset 0) q
where a.ended_at is null and a.started_at is not null and q.jq_starttime is null and q.jq_endtime is null

-- lease_expired --
-- A sweep takes them back.
select a.job, a.expires_at from scheduler_bridge.attempt a where a.ended_at is null and a.expires_at < now()

-- end_without_start --
-- Rows that the last attempt has ended, by the ledger after a start.
select a.job, timestamptz '-infinity'
from (select * from scheduler_bridge.attempt a where a.ended_at > now() - make_interval(secs => %(ledger)s)
      order by a.ended_at desc limit %(attempts)s) a
cross join lateral (select * from public.jobqueue q where q.jq_pk = a.job offset 0) q
where a.worker is not null and (a.ending = 'completed' or (a.ending = 'failed' and a.started_at is not null))
  and q.jq_endtime = a.ended_at and (a.started_at is null or q.jq_starttime is null or q.jq_starttime >= '9999-12-31')

-- endings_differ --
-- Not counted: what somebody else ended while the attempt ran, and what another scheduler has run since.
select a.job, timestamptz '-infinity'
from (select * from scheduler_bridge.attempt a where a.ended_at > now() - make_interval(secs => %(ledger)s)
      order by a.ended_at desc limit %(attempts)s) a
cross join lateral (select * from public.jobqueue q where q.jq_pk = a.job offset 0) q
where (a.ending in ('completed', 'failed') or a.started_at is not null)
  and q.jq_endtime >= a.ended_at and q.jq_starttime is not distinct from a.started_at
  and (q.jq_end_bits < 2) <> (a.ending = 'completed') and a.reason not like 'ended from outside%%'
  and not exists (select from scheduler_bridge.attempt b where b.job = a.job and b.epoch > a.epoch)

-- items_differ --
-- Both counts are written by the transaction that ends the row.
select a.job, timestamptz '-infinity'
from (select * from scheduler_bridge.attempt a where a.ended_at > now() - make_interval(secs => %(ledger)s)
      order by a.ended_at desc limit %(attempts)s) a
cross join lateral (select * from public.jobqueue q where q.jq_pk = a.job offset 0) q
where a.worker is not null and a.ending in ('completed', 'failed')
  and q.jq_endtime = a.ended_at and coalesce(q.jq_itemsprocessed, 0) <> a.items

-- prerequisite_failed --
-- Read from the foreign rows: the mirror is what is audited.
select distinct o.job, null::timestamptz
from scheduler_bridge.open_job o
cross join lateral (select d.jdep_jq_depends_fk as needs from public.jobdepends d where d.jdep_jq_fk = o.job offset 0) d
left join lateral (select q.jq_pk, q.jq_endtime, q.jq_end_bits from public.jobqueue q where q.jq_pk = d.needs offset 0) p on true
where o.worker is null and (p.jq_pk is null or (p.jq_endtime is not null and p.jq_end_bits >= 2))

-- no_hint --
-- Startable jobs, the first of each stream, that have neither a hint nor a reason. A stream may have more of them than its
-- window has hints: it counts when none of its hints is out and none of its jobs was claimed or has ended meanwhile.
with busy as (
    select o.stream from scheduler_bridge.open_job o where o.proposed_at is not null and o.worker is null and o.ready
    union
    select a.stream from scheduler_bridge.attempt a
    where a.ended_at is null and a.claimed_at > now() - make_interval(secs => %(grace)s)
    union
    (select a.stream from scheduler_bridge.attempt a where a.ended_at > now() - make_interval(secs => %(grace)s)
     order by a.ended_at desc limit %(attempts)s)
)
select o.job, null::timestamptz
from scheduler_bridge.stream s cross join lateral (
    select o.job from scheduler_bridge.open_job o
    where o.stream = s.stream and o.ready and o.proposed_at is null and o.worker is null
      and coalesce(o.obstacle, 'exclusive_next') = 'exclusive_next'
    order by o.priority desc, o.job limit 20
) o
where s.stream not in (select busy.stream from busy)

-- waits_for_nothing --
-- Neither startable nor with a dependency that the mirror knows. A sweep lets them start.
select o.job, null::timestamptz from scheduler_bridge.open_job o
where not o.ready and o.worker is null and not exists (select from scheduler_bridge.edge e where e.job = o.job)
  and not exists (select from scheduler_bridge.unplanned u where u.stream = o.stream and u.job = o.job)

-- stale_reason --
-- Jobs that are parked for a reason which has gone, the oldest ones. Where jobs of the type end, or one that ran alone,
-- reasons come and go: that does not count.
with parked as materialized (
    select o.job from scheduler_bridge.open_job o
    where o.ready and o.worker is null and o.proposed_at is null and o.obstacle <> 'exclusive_next'
      and o.refused_at < now() - make_interval(secs => %(grace)s)
      and not exists (
          select from scheduler_bridge.attempt a left join scheduler_bridge.agent_type t on t.name = a.agent_type
          where a.ended_at > now() - make_interval(secs => %(grace)s) and (a.agent_type = o.agent_type or t.exclusive)
      )
    order by o.refused_at, o.job limit %(obstacles)s
)
select p.job, null::timestamptz from parked p cross join lateral scheduler_bridge.obstacle(p.job, null) b where b.kind is null

-- hint_unanswered --
-- A hint that waits for a busy fleet is not lost: a host counts that has a free slot and where nothing was claimed or has
-- ended meanwhile. One that no live host can take is to be withdrawn.
with live as materialized (
    select h.name, h.slots from scheduler_bridge.host h where h.seen_at > now() - interval '30 seconds'
), free as materialized (
    select h.name from live h
    where h.slots > (select count(*) from scheduler_bridge.attempt a where a.ended_at is null and a.host = h.name)
      and not exists (select from scheduler_bridge.attempt a where a.ended_at is null and a.host = h.name
                        and a.claimed_at > now() - make_interval(secs => %(grace)s))
      and not exists (select from scheduler_bridge.attempt a where a.host = h.name
                        and a.ended_at > now() - make_interval(secs => %(grace)s))
), taker as materialized (
    select t.host, t.agent_type, t.host in (select free.name from free) as free
    from scheduler_bridge.host_agent_type t where t.host in (select live.name from live)
)
select o.job, null::timestamptz from scheduler_bridge.open_job o
where o.ready and o.worker is null and o.proposed_at < now() - make_interval(secs => %(grace)s)
  and (exists (select from taker t where t.agent_type = o.agent_type and t.host = coalesce(o.host, t.host) and t.free)
       or (exists (select from live)
           and not exists (select from taker t where t.agent_type = o.agent_type and t.host = coalesce(o.host, t.host))))

-- edge_satisfied --
-- Also an edge whose dependency, or whose job, has gone.
with gone as materialized (
    select e.job, e.needs from scheduler_bridge.edge e
    except
    select j.job, coalesce(d.needs, 0)
    from (select distinct e.job from scheduler_bridge.edge e) j
    cross join lateral (select d.jdep_jq_depends_fk as needs from public.jobdepends d where d.jdep_jq_fk = j.job offset 0) d
)
select e.job || ' needs ' || e.needs, p.jq_endtime
from scheduler_bridge.edge e
left join lateral (
    select q.jq_endtime from public.jobqueue q
    where q.jq_pk = e.needs and q.jq_endtime is not null and q.jq_end_bits < 2 offset 0
) p on true
where p.jq_endtime is not null
   or not exists (select from scheduler_bridge.open_job o where o.job = e.job)
   or (e.job, e.needs) in (select gone.job, gone.needs from gone)

-- edge_missing --
-- Dependencies of waiting jobs that the mirror does not know.
select missing.job || ' needs ' || missing.needs, null::timestamptz from (
    select o.job, coalesce(d.needs, 0) as needs
    from scheduler_bridge.open_job o
    cross join lateral (select d.jdep_jq_depends_fk as needs from public.jobdepends d where d.jdep_jq_fk = o.job offset 0) d
    left join lateral (select q.jq_endtime, q.jq_end_bits from public.jobqueue q where q.jq_pk = d.needs offset 0) p on true
    where o.worker is null and (p.jq_endtime is null or p.jq_end_bits >= 2)
    except
    select e.job, e.needs from scheduler_bridge.edge e
) missing

-- host_over_slots --
-- More agents than slots, the last of them claimed under this limit.
select h.name, timestamptz '-infinity' from scheduler_bridge.host h cross join lateral (
    select count(*) as agents, max(a.claimed_at) as last from scheduler_bridge.attempt a where a.ended_at is null and a.host = h.name
) r
where r.agents > h.slots and r.last > h.limited_at + make_interval(secs => %(slack)s)

-- type_over_maximum --
-- More agents of a type than may run on all hosts, the last of them claimed under this limit.
select t.name, timestamptz '-infinity' from scheduler_bridge.agent_type t cross join lateral (
    select count(*) as agents, max(a.claimed_at) as last
    from scheduler_bridge.attempt a where a.ended_at is null and a.agent_type = t.name
) r
where r.agents > t.maximum and r.last > t.limited_at + make_interval(secs => %(slack)s)

-- exclusive_not_alone --
-- Jobs that run alone, beside others, where the last claim of all came under this rule.
select a.job, timestamptz '-infinity'
from scheduler_bridge.attempt a join scheduler_bridge.agent_type t on t.name = a.agent_type
cross join (select count(*) as agents, max(r.claimed_at) as last from scheduler_bridge.attempt r where r.ended_at is null) r
where a.ended_at is null and t.exclusive and r.agents > 1 and r.last > t.limited_at + make_interval(secs => %(slack)s)

-- stream_without_jobs --
-- A sweep closes them.
select s.stream, null::timestamptz from scheduler_bridge.stream s
where s.leased_until < now() and not exists (select from scheduler_bridge.open_job o where o.stream = s.stream)

-- jobs_without_stream --
-- Nobody would plan them.
select distinct o.stream, timestamptz '-infinity' from scheduler_bridge.open_job o
where not exists (select from scheduler_bridge.stream s where s.stream = o.stream)

-- unplanned --
-- Jobs that no planner has looked at.
select u.job, null::timestamptz from scheduler_bridge.unplanned u

-- mail_overdue --
-- Whoever tries to send one makes it due later; so nobody has tried.
select m.stream, timestamptz '-infinity' from scheduler_bridge.mail m where m.due_at < now() - make_interval(secs => %(mail)s)

-- remember --
-- What must be known at the next look.
update scheduler_bridge.audit set suspects = %(suspects)s, slice = %(slice)s

-- keep --
-- The result, for `status`.
update scheduler_bridge.audit set at = %(at)s, result = %(result)s

-- latest --
-- The result that was kept last, and the database's clock.
select a.at, a.result, now() from scheduler_bridge.audit a
