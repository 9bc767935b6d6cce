-- Readiness and failure, read from the real rows. Functions on the way of a job are plpgsql, which keeps its plans for the
-- life of a connection: language sql plans anew at each call, a millisecond where the work is a hundredth of one.
--
-- Nobody deadlocks: a transaction locks all open jobs that it is going to change at once, in the order of their numbers,
-- before it changes the first (`lock_jobs`). What it comes across later it takes only where nobody holds it, and
-- leaves the rest to the sweep. Edges and foreign rows of a job are written under the lock of its open job; those of
-- a claimed job under its attempt, which is locked before anything else.
-- Arrays of jobs have one element or tens of thousands, and the tables may have grown a thousandfold since a connection made
-- its plans: a scan for each job, quick among few, then takes minutes. So some functions are bound to the indexes, or plan anew.

create function no_mirroring() returns void
language plpgsql set search_path from current as $$
begin
    perform pg_advisory_xact_lock_shared(7319, 0);
end
$$;

create function lock_jobs(p_jobs int[]) returns void
language plpgsql set search_path from current set enable_seqscan = off as $$
begin
    perform from open_job where job = any (p_jobs) order by job for update;
end
$$;

-- Open, unclaimed jobs that depend on these, at any depth, each with one prerequisite that leads there.
create function dependents_of(p_jobs int[]) returns table (job int, cause int)
language plpgsql stable set search_path from current set enable_seqscan = off as $$
#variable_conflict use_column
begin
    if coalesce(cardinality(p_jobs), 0) = 0 then
        return;
    end if;
    return query
        with recursive dependent (job) as (
            select e.job from edge e join open_job o on o.job = e.job where e.needs = any (p_jobs) and o.worker is null
            union
            -- A look into the indexes for each: `offset 0` and the subquery leave no join to be planned.
            select n.job
            from dependent d cross join lateral (
                select e.job from edge e
                where e.needs = d.job and (select o.worker is null from open_job o where o.job = e.job) offset 0
            ) n
        )
        select distinct on (e.job) e.job, e.needs from dependent d join edge e on e.job = d.job
        where e.needs in (select dependent.job from dependent union all select unnest(p_jobs))
        order by 1, 2;
end
$$;

-- Takes jobs that have ended out of the mirror.
create function forget_jobs(p_jobs int[]) returns void
language plpgsql set search_path from current as $$
declare
    v_streams int[];
begin
    with gone as (
        delete from open_job where job = any (p_jobs) returning stream
    )
    select array_agg(distinct gone.stream) into v_streams from gone;
    delete from unplanned where stream = any (v_streams) and job = any (p_jobs);  -- no join whose sizes could be misjudged
    delete from edge where job = any (p_jobs);
end
$$;

-- Ends open jobs as failed, one text each, with an entry in the ledger that says why; what depends on them,
-- at any depth, ends with FOSSology's text `dependency failed`. Returns the jobs that ended. Lock them all before;
-- a job that somebody else holds is left to the sweep, one that is claimed to its worker.
create function fail_jobs(p_jobs int[], p_texts text[], p_reasons text[]) returns setof int
language plpgsql set search_path from current set plan_cache_mode = force_custom_plan as $$
declare
    v_jobs int[];
    v_texts text[];
    v_reasons text[];
begin
    with root as (
        select distinct on (r.job) r.job, r.endtext, r.reason
        from unnest(p_jobs, p_texts, p_reasons) as r (job, endtext, reason) join open_job o on o.job = r.job
        where o.worker is null order by 1, 2, 3
    ), verdict as (
        select root.job, root.endtext, root.reason from root
        union all
        select d.job, 'dependency failed', 'prerequisite ' || d.cause || ' failed'
        from dependents_of(array(select root.job from root)) d where d.job not in (select root.job from root)
    ), held as (
        select o.job from open_job o where o.job in (select verdict.job from verdict) and o.worker is null
        order by o.job for update skip locked
    )
    select array_agg(v.job), array_agg(v.endtext), array_agg(v.reason) into v_jobs, v_texts, v_reasons
    from verdict v join held h on h.job = v.job;
    if v_jobs is null then
        return;
    end if;

    update jobqueue q set jq_endtime = now(), jq_end_bits = jq_end_bits | 2, jq_endtext = v.endtext, jq_schedinfo = null
    from unnest(v_jobs, v_texts) as v (job, endtext) where q.jq_pk = v.job and q.jq_endtime is null;
    insert into attempt (job, epoch, stream, agent_type, ended_at, ending, reason)
    select o.job, o.epoch + 1, o.stream, o.agent_type, now(), 'failed', v.reason
    from unnest(v_jobs, v_reasons) as v (job, reason) join open_job o on o.job = v.job
    on conflict do nothing;
    perform forget_jobs(v_jobs);
    return query select unnest(v_jobs);
end
$$;

-- Fails what depends on a failed job, at any depth. Lock them before, and call `no_mirroring` before that.
create function fail_dependents(p_job int) returns void
language plpgsql set search_path from current as $$
declare
    v_jobs int[];
    v_reasons text[];
begin
    select array_agg(d.job), array_agg('prerequisite ' || d.cause || ' failed') into v_jobs, v_reasons
    from dependents_of(array[p_job]) d;
    if v_jobs is not null then
        perform fail_jobs(v_jobs, array_fill('dependency failed'::text, array[cardinality(v_jobs)]), v_reasons);
    end if;
end
$$;

-- Jobs that can never start, and why: a prerequisite failed, or the agent type or host is not configured. Before a
-- configuration has been published nothing is known, and so nothing unknown. Texts are those of today's scheduler.
create function verdicts(p_jobs int[]) returns table (job int, endtext text, reason text)
language plpgsql stable set search_path from current as $$
#variable_conflict use_column
begin
    return query
        (select distinct on (e.job) e.job, 'dependency failed', 'prerequisite ' || e.needs || ' failed'
         from edge e join jobqueue p on p.jq_pk = e.needs
         where e.job = any (p_jobs) and p.jq_endtime is not null and p.jq_end_bits >= 2
         order by e.job, e.needs)
        union all
        select o.job, case when t.name is null then 'Failed' else 'ERROR: jq_host not in the agent list!' end,
               case when t.name is null then 'agent type ' || o.agent_type || ' is not configured'
                    else 'host ' || o.host || ' is not known' end
        from open_job o left join agent_type t on t.name = o.agent_type left join host h on h.name = o.host
        where o.job = any (p_jobs) and exists (select from agent_type)
          and (t.name is null or (o.host is not null and h.name is null and not t.local));
end
$$;

-- Those of these open, unclaimed jobs that are not ready although no prerequisite is unsatisfied. One whose row was
-- deleted does not count.
create function satisfied(p_jobs int[]) returns int[]
language plpgsql stable set search_path from current as $$
begin
    return array(
        select o.job from open_job o
        where o.job = any (p_jobs) and not o.ready and o.worker is null
          and not exists (
              select from edge e left join jobqueue p on p.jq_pk = e.needs
              where e.job = o.job and (e.needs = 0 or (p.jq_pk is not null and (p.jq_endtime is null or p.jq_end_bits >= 2)))
          )
    );
end
$$;

-- Marks satisfied jobs as ready. Lock them before.
create function make_ready(p_jobs int[]) returns void
language plpgsql set search_path from current as $$
begin
    update open_job set ready = true, obstacle = null, subject = null
    where job = any (p_jobs) and not ready and worker is null;
end
$$;

-- Tells the caller's log, as a message INFO, of jobs that have ended since their agent type or host is unknown: a line a reason.
create function tell_of_unknown(p_jobs int[], p_texts text[], p_reasons text[], p_ended int[]) returns void
language plpgsql set search_path from current as $$
declare
    v_line text;
begin
    for v_line in
        select case count(*) when 1 then 'job ' || min(d.job)
                             else 'jobs ' || min(d.job) || ' and ' || count(*) - 1 || ' more' end || ': ' || d.reason
        from unnest(p_jobs, p_texts, p_reasons) as d (job, endtext, reason)
        where d.endtext <> 'dependency failed' and d.job in (select unnest(p_ended))
        group by d.reason order by min(d.job)
    loop
        raise info using message = v_line;
    end loop;
end
$$;

-- Looks at open, unclaimed jobs again: those without an unsatisfied prerequisite become ready; those that can never
-- start fail. Call it after a commit that may have changed the answer, in a transaction of its own: of two
-- prerequisites that end together, the later commit then sees both.
create function settle(p_jobs int[]) returns void
language plpgsql set search_path from current as $$
declare
    v_doomed int[];
    v_texts text[];
    v_reasons text[];
    v_met_by int[];  -- jobs and, at the same place, a prerequisite of theirs that has completed or was deleted
    v_met int[];
    v_ready int[];
begin
    if coalesce(cardinality(p_jobs), 0) = 0 then
        return;
    end if;
    if exists (select from verdicts(p_jobs)) then
        perform no_mirroring();
        -- Asked again: whoever held it up may have let the failed prerequisite wait again (`rerun_failed`).
        select array_agg(v.job), array_agg(v.endtext), array_agg(v.reason) into v_doomed, v_texts, v_reasons from verdicts(p_jobs) v;
    end if;
    select array_agg(e.job), array_agg(e.needs) into v_met_by, v_met
    from edge e left join jobqueue p on p.jq_pk = e.needs
    where e.job = any (p_jobs) and (
        (p.jq_endtime is not null and p.jq_end_bits < 2)
        or (p.jq_pk is null and e.needs <> 0 and not exists (
            select from jobdepends d where d.jdep_jq_fk = e.job and d.jdep_jq_depends_fk = e.needs
        ))
    );
    v_ready := satisfied(p_jobs);  -- after v_met: what has lost its last edge is among them
    perform lock_jobs(v_ready || v_met_by || v_doomed || array(select d.job from dependents_of(v_doomed) d));
    if v_doomed is not null then
        perform tell_of_unknown(v_doomed, v_texts, v_reasons, array(select fail_jobs(v_doomed, v_texts, v_reasons)));
    end if;
    if v_met is not null then
        delete from edge e using unnest(v_met_by, v_met) as m (job, needs) where e.job = m.job and e.needs = m.needs;
    end if;
    perform make_ready(v_ready);
end
$$;

-- Whether a host that has reported lately can run this agent type; p_host null: any host. A host without slots runs none.
create function has_taker(p_type text, p_host text) returns boolean
language plpgsql stable set search_path from current as $$
begin
    return exists (
        select from host_agent_type a join live_host h on h.name = a.host
        where a.agent_type = p_type and a.host = coalesce(p_host, a.host)
    );
end
$$;

-- Those of these startable jobs, in this order, that a hint can help now. The rest are parked, each with its reason, until
-- a host reports or an agent ends: a hint that nobody can take fills the window of its stream. While no host has reported
-- at all nothing is parked: hints wait in their queues for the first worker. Of a type that is full one job goes out
-- nevertheless: its end, later than this commit, frees the next, whatever ended at this very moment.
create function worth_a_hint(p_jobs int[]) returns int[]
language plpgsql set search_path from current as $$
declare
    v_jobs int[];
    v_park int[];
    v_kinds text[];
    v_subjects text[];
begin
    if not exists (select from live_host) then
        return p_jobs;
    end if;
    with candidate as materialized (
        select o.job, o.agent_type, o.host, c.place from unnest(p_jobs) with ordinality as c (job, place)
        join open_job o on o.job = c.job where o.ready and o.proposed_at is null and o.worker is null
    ), chance as materialized (
        select c.agent_type, c.host, has_taker(c.agent_type, c.host) as taker, t.problem,
               case when t.maximum is not null then greatest(1, t.maximum - (
                   select count(*) from attempt a where a.ended_at is null and a.agent_type = c.agent_type
               )) end as free
        from (select distinct candidate.agent_type, candidate.host from candidate) c left join agent_type t on t.name = c.agent_type
    ), judged as (
        select c.job, c.place, c.agent_type, c.host, n.problem,
               case when not n.taker then case when n.problem is null then 'no_host' else 'broken_type' end
                    when row_number() over (partition by c.agent_type, n.taker order by c.place) > n.free then 'type_full' end as kind
        from candidate c join chance n on n.agent_type = c.agent_type and n.host is not distinct from c.host
    )
    select array_agg(j.job order by j.place) filter (where j.kind is null),
           array_agg(j.job order by j.job) filter (where j.kind is not null),
           array_agg(j.kind order by j.job) filter (where j.kind is not null),
           array_agg(case j.kind when 'no_host' then missing_host(j.agent_type, j.host) when 'broken_type' then j.problem else j.agent_type end
                     order by j.job) filter (where j.kind is not null)
    into v_jobs, v_park, v_kinds, v_subjects from judged j;
    if v_park is not null then
        with held as (
            select o.job from open_job o where o.job = any (v_park) and o.proposed_at is null and o.worker is null
            order by o.job for update skip locked
        )
        update open_job o set obstacle = p.kind, subject = p.subject, refused_at = now()
        from unnest(v_park, v_kinds, v_subjects) as p (job, kind, subject) join held on held.job = p.job where o.job = p.job;
    end if;
    return coalesce(v_jobs, '{}');
end
$$;

-- What no live host can run, in words, with what its hosts say about it.
create function missing_host(p_type text, p_host text) returns text
language plpgsql stable set search_path from current as $$
declare
    v_host host;
    v_problems text;
begin
    select * into v_host from host where name = p_host;
    select string_agg(p.host || ': ' || p.problem, '; ' order by p.host) into v_problems
    from host_problem p join live_host h on h.name = p.host
    where p.agent_type = p_type and p.host = coalesce(p_host, p.host);
    return p_type
        || coalesce(' (only on host ' || p_host || case when v_host.slots = 0 then ', which has 0 slots'
                                                        when v_host.draining then ', which is drained' else '' end || ')', '')
        || coalesce(' (' || left(v_problems, 500) || ')', '');
end
$$;

-- The most hints of one stream that may be outstanding: twice the fleet's slots, at least 20, at most 200.
create function hint_window() returns int
language plpgsql stable set search_path from current as $$
begin
    return (select greatest(20, least(200, 2 * coalesce(sum(slots), 0)))::int from live_host);
end
$$;

-- Marks startable jobs as proposed and returns what to publish: a row per job; jobs of one line share its head. A linear
-- run goes out as one line of at most 20. Two callers never get the same job.
create function propose(p_jobs int[]) returns table (head int, link int, job int, stream int, agent_type text, host text)
language plpgsql set search_path from current as $$
declare
    v_heads int[];
begin
    with chosen as (
        select o.job from open_job o
        where o.job = any (p_jobs) and o.ready and o.proposed_at is null and o.worker is null
        order by o.job for update skip locked
    ), marked as (
        update open_job o set proposed_at = now(), proposals = o.proposals + 1, gave_way = false
        from chosen where o.job = chosen.job returning o.job
    )
    select array_agg(marked.job) into v_heads from marked;
    if v_heads is null then
        return;
    end if;
    return query
        with recursive line (head, link, job) as (
            select h, 0, h from unnest(v_heads) h
            union all
            select l.head, l.link + 1, f.job
            from line l join open_job o on o.job = l.job join open_job f on f.job = o.follower
            where l.link < 19 and f.worker is null
        ), held as (
            select o.job from open_job o where o.job in (select l.job from line l where l.link > 0)
            order by o.job for update skip locked
        ), links as (
            update open_job o set proposed_at = now() from held where o.job = held.job
        )
        select l.head, l.link, o.job, o.stream, o.agent_type, o.host
        from line l join open_job o on o.job = l.job join open_job h on h.job = l.head
        order by h.priority desc, l.head, l.link;
end
$$;

-- Proposes the next startable jobs of streams, urgent and old ones first, as many as the window has room for. A stream
-- with more than p_low hints outstanding is left alone, so that a window is filled by the chunk and not by the job.
-- Jobs that no hint can help are parked on the way, some thousands in a call at most; the next call goes on.
create function top_up(p_streams int[], p_window int, p_low int)
returns table (head int, link int, job int, stream int, agent_type text, host text)
language plpgsql set search_path from current as $$
declare
    v_stream int;
    v_out int;
    v_size int;
    v_chosen int[];
begin
    perform set_config('synchronous_commit', 'off', true);
    foreach v_stream in array p_streams loop
        for v_turn in 1..50 loop
            exit when not exists (
                select from open_job o
                where o.stream = v_stream and o.ready and o.proposed_at is null and o.worker is null
                  and coalesce(o.obstacle, 'exclusive_next') = 'exclusive_next'
            );
            select count(*) into v_out from (
                select from open_job o where o.stream = v_stream and o.proposed_at is not null and o.worker is null and o.ready
                limit p_window
            ) outstanding;
            exit when v_out > p_low or v_out >= p_window;
            v_size := case v_turn when 1 then p_window - v_out else 100 end;
            v_chosen := array(
                select o.job from open_job o
                where o.stream = v_stream and o.ready and o.proposed_at is null and o.worker is null
                  and coalesce(o.obstacle, 'exclusive_next') = 'exclusive_next'
                order by o.priority desc, o.job limit v_size
            );
            return query select * from propose((worth_a_hint(v_chosen))[:p_window - v_out]);
            exit when cardinality(v_chosen) < v_size;
        end loop;
    end loop;
end
$$;
