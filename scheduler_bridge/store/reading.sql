-- Every statement that `status`, `why`, `logs` and `run` read with: a name, one line of prose, SQL. None of them writes.
-- `jobqueue` may hold millions of ended rows and, as FOSSology creates it, has an index on jq_pk and no other: what is
-- not asked for by jq_pk is asked for above a lower bound.

-- missing_tables --
-- Tables of the queue that the database lacks.
select t.name from unnest(array['job', 'jobqueue', 'jobdepends']) as t (name)
where to_regclass('public.' || t.name) is null

-- horizon --
-- The database's clock, how far the bridges have read, when the last sweep ran, the lower bound for counting ended
-- rows, and the newest stream that may have rows below it.
with bound as (
    select case when exists (
        select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = 'public.jobqueue'::regclass and a.attname = 'jq_job_fk' and i.indisvalid and i.indpred is null
    ) then 0 else greatest(0, (select coalesce(max(q.jq_pk), 0) from public.jobqueue q) - %(most)s::int) end as low
)
select now(), p.settled_through, nullif(p.swept_at, '-infinity'), b.low, coalesce((
    select max(below.jq_job_fk)
    from (select q.jq_job_fk from public.jobqueue q where q.jq_pk <= b.low order by q.jq_pk desc limit 1000) below
), 0)
from scheduler_bridge.progress p, bound b

-- open_streams --
-- Streams with jobs that have not ended; above `new` no bridge may have looked yet.
select o.stream from scheduler_bridge.open_job o
union
select q.jq_job_fk from public.jobqueue q
where q.jq_pk > %(new)s::int and q.jq_endtime is null and q.jq_end_bits < 2 and q.jq_type <> 'command'

-- latest_streams --
-- The newest streams, and those whose jobs have ended last; the caller leaves out the open ones.
(select j.job_pk from public.job j order by j.job_pk desc limit %(newest)s::int)
union
(select e.stream
 from (select a.stream, a.ended_at from scheduler_bridge.attempt a where a.ended_at is not null
       order by a.ended_at desc limit 1000) e
 group by e.stream order by max(e.ended_at) desc limit %(ended)s::int)

-- summaries --
-- The streams asked for, with their jobs counted: every open one, ended ones above `low`.
with wanted as (
    select j.job_pk as stream, j.job_name as name, j.job_priority as priority, j.job_queued as queued_at
    from public.job j where j.job_pk = any (%(streams)s::int[])
), rows as (
    select q.jq_job_fk as stream, q.jq_pk as job, q.jq_starttime, q.jq_endtime, q.jq_end_bits
    from public.jobqueue q where q.jq_job_fk = any (%(streams)s::int[]) and q.jq_pk > %(low)s::int
    union all
    select o.stream, q.jq_pk, q.jq_starttime, q.jq_endtime, q.jq_end_bits
    from scheduler_bridge.open_job o join public.jobqueue q on q.jq_pk = o.job
    where o.stream = any (%(streams)s::int[]) and o.job <= %(low)s::int
), counted as (
    select r.stream,
           count(*) filter (where r.jq_end_bits >= 2) as failed,
           count(*) filter (where r.jq_endtime is not null and r.jq_end_bits < 2) as completed,
           count(*) filter (where r.jq_endtime is null and r.jq_end_bits < 2
                            and (o.worker is not null or (o.job is null and r.jq_starttime < '9999-12-31'))) as running,
           count(*) filter (where r.jq_endtime is null and r.jq_end_bits < 2) as open,
           max(r.jq_endtime) as ended_at
    from rows r left join scheduler_bridge.open_job o on o.job = r.job
    group by r.stream
)
select w.stream, w.name, w.priority, w.queued_at, coalesce(c.completed, 0) as completed, coalesce(c.failed, 0) as failed,
       coalesce(c.running, 0) as running, coalesce(c.open - c.running, 0) as waiting,
       case when c.open = 0 then c.ended_at end as ended_at
from wanted w left join counted c using (stream)
order by w.stream

-- stream --
-- One stream without its jobs.
select now(), j.job_name, j.job_priority, j.job_queued from public.job j where j.job_pk = %(stream)s::int

-- jobs --
-- Jobs by number, and those of a stream above a number: the row, what the bridges remember of it, its last attempt.
-- `exclusive_next` is no obstacle but a turn.
with wanted as (
    select q.jq_pk as job from public.jobqueue q where q.jq_job_fk = %(stream)s::int and q.jq_pk > %(above)s::int
    union
    select unnest(%(jobs)s::int[])
)
select q.jq_pk, q.jq_job_fk, q.jq_type, coalesce(q.jq_itemsprocessed, 0),
       case when q.jq_starttime < '9999-12-31' then q.jq_starttime end, q.jq_endtime, coalesce(q.jq_endtext, ''), q.jq_end_bits,
       nullif(q.jq_host, ''), q.jq_type = 'command', o.job is not null, o.worker, o.proposed_at,
       nullif(o.obstacle, 'exclusive_next'), coalesce(o.subject, ''),
       o.refused_at, coalesce(a.epoch, 0), a.host, a.claimed_at, a.started_at, coalesce(a.reason, '')
from wanted w join public.jobqueue q on q.jq_pk = w.job
left join scheduler_bridge.open_job o on o.job = w.job
left join lateral (
    select * from scheduler_bridge.attempt a where a.job = w.job order by a.epoch desc limit 1
) a on true
order by q.jq_pk

-- obstacle --
-- Why one job may not start anywhere, asked now.
select b.kind, coalesce(b.subject, '') from scheduler_bridge.obstacle(%(job)s::int, null) b

-- obstacles --
-- Why the waiting jobs of a stream may not start: asked now for the first ones, as found last for the others.
with waiting as (
    select o.job, o.ready, o.obstacle, o.subject, row_number() over (order by o.ready desc, o.job) as place
    from scheduler_bridge.open_job o where o.stream = %(stream)s::int and o.worker is null
)
select w.job, b.kind, coalesce(b.subject, '')
from waiting w cross join lateral scheduler_bridge.obstacle(w.job, null) b
where w.place <= %(live)s::int and b.kind is not null
union all
select w.job, case when w.ready then nullif(w.obstacle, 'exclusive_next') else 'needs' end,
       coalesce(case when w.ready then w.subject else (
           select left(string_agg(e.needs::text, ', ' order by e.needs), 200) from scheduler_bridge.edge e where e.job = w.job
       ) end, '')
from waiting w where w.place > %(live)s::int and (w.obstacle <> 'exclusive_next' or not w.ready)

-- blocker --
-- The prerequisite that holds a job up: one that does not exist, or has failed, or the first that has not ended.
select d.jdep_jq_depends_fk
from public.jobdepends d left join public.jobqueue p on p.jq_pk = d.jdep_jq_depends_fk
where d.jdep_jq_fk = %(job)s::int and (p.jq_endtime is null or p.jq_end_bits >= 2)
order by p.jq_end_bits desc nulls first, d.jdep_jq_depends_fk limit 1

-- now --
-- The database's clock.
select now()

-- attempts --
-- The ledger of one job.
select a.epoch, a.worker, a.host, a.claimed_at, a.started_at, a.ended_at, a.ending, a.reason, a.items
from scheduler_bridge.attempt a where a.job = %(job)s::int order by a.epoch

-- output --
-- What one attempt has printed, if that was written after a time.
select o.tail, o.written_at from scheduler_bridge.output o
where o.job = %(job)s::int and o.epoch = %(epoch)s::int and o.written_at > %(after)s::timestamptz

-- report --
-- The report of a stream.
select r.text from scheduler_bridge.scan_report r where r.stream = %(stream)s::int and r.format = 'markdown'

-- scan_files --
-- How many files a stream has to scan.
select count(*) from scheduler_bridge.scan_file f where f.stream = %(stream)s::int and f.sha256 is not null

-- old_scans --
-- Streams that have ended and whose agents finished more than so many days ago.
select r.stream from scheduler_bridge.scan_run r
group by r.stream
having max(r.finished_at) < now() - make_interval(days => %(days)s::int)
   and not exists (select from scheduler_bridge.open_job o where o.stream = r.stream)
order by r.stream
