-- The periodic pass: makes certain what events make fast. Every part is idempotent and may run in several processes.

-- Takes the turn for a pass; false when another process has passed less than half of p_turn ago, so that two beats cost no
-- more than one. p_interval is the usual time between two passes.
-- Where nobody has passed for long, the database was away: then nobody could renew a lease either, or write how a job ended.
-- So no lease is taken back until every worker has had the time to renew, which it does three times a lease: two thirds of
-- one are left in any case, so that a shorter time is none. Three passes in succession may be so; sweeps that are slow
-- and not held up by an outage take leases back with the fourth. A clock that was set back holds up nothing.
create function sweep_turn(p_turn interval, p_interval interval, p_lease interval) returns boolean
language plpgsql set search_path from current as $$
begin
    perform set_config('synchronous_commit', 'off', true);  -- a crash that takes it back costs one pass more
    update progress p
    set swept_at = now(),
        lenient_until = case when outage.was then now() + p_lease / 3 else least(p.lenient_until, now() + p_lease / 3) end,
        leniences = case when outage.was then p.leniences + 1 when now() < p.lenient_until then p.leniences else 0 end
    from (
        select q.swept_at < now() - greatest(p_lease / 2, least(3 * p_interval, p_lease * 2 / 3), 1.5 * p_interval)
               and q.leniences < 3 as was
        from progress q
    ) outage
    where p.swept_at < now() - p_turn / 2 or p.swept_at > now() + p_turn;
    return found;
end
$$;

-- Workers with running attempts on a host.
create function owners_on(p_host text) returns setof text
language sql stable set search_path from current as $$
    select distinct a.worker from attempt a where a.ended_at is null and a.host = p_host
$$;

-- Takes back what workers no longer renew, unless an outage kept them from it (`sweep_turn`); where some are named that are known
-- to be dead, at once what they have, and nothing else. The row is free again, as if never started, and so are the limits it
-- drew on. Returns the jobs.
create function reclaim(p_dead text[]) returns setof int
language plpgsql set search_path from current as $$
declare
    v attempt;
    v_taken attempt[];
begin
    perform no_mirroring();
    for v in
        select * from attempt a
        where a.ended_at is null and case when p_dead <> '{}' then a.worker = any (p_dead)
                                          else a.expires_at < now() and now() >= (select p.lenient_until from progress p) end
        order by a.job for update skip locked
    loop
        perform finish(v.job, v.epoch, 'lost', v.items,
                       case when v.worker = any (p_dead) then v.worker || ' has died'
                            else 'the lease of ' || coalesce(v.worker, '?') || ' expired' end, '');
        v_taken := v_taken || v;
        return next v.job;
    end loop;
    perform release(a.agent_type, array(
        select o.job from open_job o where o.job = any (parked(a.agent_type, a.host)) order by o.job for update skip locked
    )) from unnest(v_taken) a;
end
$$;

-- Jobs whose time to be tried again has come are startable.
create function end_backoffs() returns void
language sql set search_path from current as $$
    with over as (
        select o.job from open_job o
        where o.obstacle = 'backoff' and o.ready and o.worker is null and o.not_before <= now()
        order by o.job for update skip locked
    )
    update open_job o set obstacle = null, subject = null from over where o.job = over.job
$$;

-- Brings open jobs to what the foreign tables say. Returns those to `settle`: these, and what needed one that is gone.
create function compare(p_jobs int[]) returns int[]
language plpgsql set search_path from current as $$
declare
    v_gone int[];
    v_changed int[];
    v_cut int[];  -- jobs and, at the same place, a prerequisite that they do not need any more
    v_needless int[];
    v_tied int[];  -- jobs and, at the same place, a prerequisite that they need now
    v_needs int[];
    v_repriced int[];
    v_moved int[];  -- of another agent type now, or for another host
    v_cleared int[];
begin
    v_gone := array(
        select o.job from open_job o left join jobqueue q on q.jq_pk = o.job
        where o.job = any (p_jobs) and o.worker is null and (q.jq_pk is null or q.jq_endtime is not null or q.jq_end_bits >= 2)
    );
    v_changed := array(select distinct e.job from edge e where e.needs = any (v_gone));
    select array_agg(e.job), array_agg(e.needs) into v_cut, v_needless
    from edge e
    where e.job = any (p_jobs) and not exists (
        select from jobdepends d where d.jdep_jq_fk = e.job and coalesce(d.jdep_jq_depends_fk, 0) = e.needs
    );
    select array_agg(n.job), array_agg(n.needs) into v_tied, v_needs
    from (
        select u.job, u.needs from unsatisfied(p_jobs) u
        except
        select e.job, e.needs from edge e where e.job = any (p_jobs)
    ) n;
    v_repriced := array(
        select o.job from open_job o join job j on j.job_pk = o.stream
        where o.job = any (p_jobs) and o.priority <> j.job_priority
    );
    v_moved := array(
        select o.job from open_job o join jobqueue q on q.jq_pk = o.job left join agent_type t on t.name = q.jq_type
        where o.job = any (p_jobs) and o.worker is null and (q.jq_type <> o.agent_type or wanted_host(q.jq_host, t.local) is distinct from o.host)
    );
    v_cleared := array(
        select o.job from open_job o
        where o.job = any (p_jobs) and o.worker is null and o.obstacle is not null and o.ready
          and o.refused_at < now() - interval '10 seconds' and (select b.kind from obstacle(o.job, null) b) is null
    );

    perform lock_jobs(v_gone || v_cut || v_tied || v_repriced || v_moved || v_cleared);
    perform forget_jobs(array(select o.job from open_job o where o.job = any (v_gone) and o.worker is null));
    delete from edge e using unnest(v_cut, v_needless) as c (job, needs) where e.job = c.job and e.needs = c.needs;
    insert into edge (job, needs)
    select n.job, n.needs from unnest(v_tied, v_needs) as n (job, needs) where exists (select from open_job o where o.job = n.job)
    on conflict do nothing;
    with waiting as (
        update open_job o set ready = false, proposed_at = null where o.job = any (v_tied) and o.worker is null
        returning o.stream, o.job
    )
    insert into unplanned (stream, job) select waiting.stream, waiting.job from waiting on conflict do nothing;
    update open_job o set priority = j.job_priority from job j where j.job_pk = o.stream and o.job = any (v_repriced);
    update open_job o
    set agent_type = q.jq_type, host = wanted_host(q.jq_host, t.local), obstacle = null, subject = null, proposed_at = null
    from jobqueue q left join agent_type t on t.name = q.jq_type
    where o.job = any (v_moved) and o.worker is null and q.jq_pk = o.job;
    update open_job o set obstacle = null, subject = null where o.job = any (v_cleared) and o.worker is null;
    return p_jobs || v_changed;
end
$$;

-- Those of these open jobs about which the foreign tables or the configuration may say something else than the mirror does. Most
-- of the time there are none, and then this is all that a slice costs. Each table is read once, by one scan for all jobs: a
-- lookup a job costs three times as much.
create function suspects(p_jobs int[]) returns int[]
language plpgsql stable set search_path from current set enable_nestloop = off as $$
begin
    return (
        with own as materialized (
            select q.jq_pk as job, q.jq_type as agent_type, q.jq_host as host
            from jobqueue q where q.jq_pk = any (p_jobs) and q.jq_endtime is null and q.jq_end_bits < 2
        ), need as materialized (
            select d.jdep_jq_fk as job, coalesce(d.jdep_jq_depends_fk, 0) as needs from jobdepends d where d.jdep_jq_fk = any (p_jobs)
        ), prerequisite as materialized (
            select p.jq_pk as job, p.jq_endtime is null as unended, p.jq_end_bits >= 2 as failed
            from jobqueue p where p.jq_pk = any (array(select need.needs from need))
        ), urgency as materialized (
            select j.job_pk as stream, j.job_priority as priority from job j
            where j.job_pk = any (array(select distinct o.stream from open_job o where o.job = any (p_jobs)))
        ), tie as materialized (
            select e.job, e.needs from edge e where e.job = any (p_jobs)
        )
        select coalesce(array_agg(distinct found.job), '{}') from (
            select o.job
            from open_job o left join own on own.job = o.job left join urgency j on j.stream = o.stream
            left join agent_type t on t.name = o.agent_type left join host h on h.name = o.host
            where o.job = any (p_jobs) and (
                o.priority is distinct from j.priority
                or (o.worker is null and (
                    own.job is null or own.agent_type <> o.agent_type or t.name is null
                    or o.host is distinct from wanted_host(own.host, t.local)
                    or (o.host is not null and h.name is null)
                    or (not o.ready and o.job not in (select tie.job from tie))
                ))
            )
            union all
            select coalesce(n.job, tie.job)
            from (
                select need.job, need.needs, p.unended, p.failed
                from need left join prerequisite p on p.job = need.needs
            ) n full join tie on tie.job = n.job and tie.needs = n.needs
            where n.job is null or n.unended is null or n.failed or (tie.job is null) = n.unended
        ) found
    );
end
$$;

-- Those of these open jobs whose obstacle may have gone since they were refused. What holds up an agent type or a host holds
-- up all that ask for the same: one of them is asked about, whatever their number.
create function unparked(p_jobs int[]) returns int[]
language plpgsql stable set search_path from current as $$
declare
    v_shared text[] := '{no_host,broken_type,exclusive_runs,exclusive_waits,type_off,type_full}';
begin
    return (
        with parked as materialized (
            select o.job, o.agent_type, o.host, o.obstacle, o.not_before from open_job o
            where o.job = any (p_jobs) and o.worker is null and o.ready and o.obstacle is not null
              and o.refused_at < now() - interval '10 seconds'
        ), still as materialized (
            select g.agent_type, g.host, g.obstacle
            from (
                select p.agent_type, p.host, p.obstacle, min(p.job) as job
                from parked p where p.obstacle = any (v_shared) group by 1, 2, 3
            ) g
            where (select b.kind from obstacle(g.job, null) b) = any (v_shared)
        )
        select coalesce(array_agg(p.job), '{}')
        from parked p
        where not exists (
            select from still s where (s.agent_type, s.obstacle) = (p.agent_type, p.obstacle) and s.host is not distinct from p.host
        ) and not (p.obstacle = 'backoff' and p.not_before > now()) and not (
            p.obstacle = 'paused'
            and exists (select from jobqueue q where q.jq_pk = p.job and q.jq_starttime >= '9999-12-31' and q.jq_endtime is null)
        )
    );
end
$$;

-- How many rows have ever been written to jobqueue, as PostgreSQL counts them: told some seconds after the commit, when the
-- session rests or the next second has begun. Null where that cannot be relied on: counting is off, or the version may
-- keep an idle session's counts to itself.
create function jobqueue_changes() returns bigint
language plpgsql stable set search_path from current as $$
begin
    if current_setting('server_version_num')::int < 150000 or not current_setting('track_counts')::boolean then
        return null;
    end if;
    return pg_stat_get_tuples_inserted('jobqueue'::regclass) + pg_stat_get_tuples_updated('jobqueue'::regclass);
end
$$;

-- Looks at one slice of jobqueue and one slice of the mirror for what no event told: rows that were missed or opened again,
-- rows that somebody else has ended, deleted, un-paused or given dependencies, a changed priority. A round takes at most
-- p_slices calls and one, whatever the size of the tables; jobqueue, which holds the history, is left alone once a round has
-- passed since the latest change of it, but for one round in ten minutes: counters are lost in a crash, and a session may be
-- told to count nothing. A slice of the mirror goes at least as far as the one at the same place of the round before, so that no
-- row waits longer than a round whatever ends or comes meanwhile. Returns the jobs to `settle` next, in a transaction of its own.
create function look_at_slice(p_slices int) returns int[]
language plpgsql set search_path from current as $$
declare
    v progress;
    v_changes bigint := jobqueue_changes();
    v_max int;
    v_from int;  -- the slice of the mirror: jobs above this ...
    v_to int;  -- ... up to this
    v_jobs int[];
    v_streams int[];
    v_some_parked boolean;
begin
    perform set_config('synchronous_commit', 'off', true);  -- what a crash takes with it is looked at again
    perform keep_statistics('{stream,open_job,unplanned,edge,attempt,job,jobqueue,jobdepends}', 0);  -- what has grown little by little
    select * into v from progress for update;
    if v_changes is distinct from v.foreign_changes or v_changes is null or v.foreign_round_at < now() - interval '10 minutes' then
        v.foreign_left := p_slices + 1;  -- one more, since a round may begin within a slice
        v.foreign_round_at := now();
    end if;
    if v.foreign_left > 0 then
        select coalesce(max(jq_pk), 0) into v_max from jobqueue;
        perform mirror(v.foreign_slice, v.foreign_slice + v_max / p_slices + 1);
        v.foreign_slice := v.foreign_slice + v_max / p_slices + 1;
        v.foreign_slice := case when v.foreign_slice < v_max then v.foreign_slice else 0 end;
        v.foreign_left := v.foreign_left - 1;
    end if;
    v_from := coalesce(v.mirror_ends[cardinality(v.mirror_ends)], 0);
    v_to := greatest(v_from, v.mirror_ends_before[cardinality(v.mirror_ends) + 1], (
        select max(r.job) from (
            select job from open_job where job > v_from order by job
            limit (select greatest(200, count(*) / greatest(p_slices - cardinality(v.mirror_ends), 1) + 1) from open_job where job > v_from)
        ) r
    ));
    select coalesce(array_agg(s.job), '{}'), array_agg(distinct s.stream), bool_or(s.obstacle is not null)
    into v_jobs, v_streams, v_some_parked
    from (select job, stream, obstacle from open_job where job > v_from and job <= v_to order by job) s;
    v.mirror_ends := v.mirror_ends || v_to;
    if not exists (select from open_job where job > v_to) then
        v.mirror_ends_before := v.mirror_ends;
        v.mirror_ends := '{}';
    end if;
    update progress set
        foreign_slice = v.foreign_slice, foreign_left = v.foreign_left, foreign_round_at = v.foreign_round_at,
        foreign_changes = coalesce(v_changes, -1),
        mirror_ends = v.mirror_ends, mirror_ends_before = v.mirror_ends_before;
    insert into stream (stream)  -- should one ever be missing, its jobs would never be planned
    select u.stream from unnest(v_streams) as u (stream) where not exists (select from stream s where s.stream = u.stream)
    on conflict do nothing;
    v_jobs := suspects(v_jobs) || case when v_some_parked then unparked(v_jobs) else '{}' end;
    return case when v_jobs = '{}' then '{}' else compare(v_jobs) end;
end
$$;

-- Hints that were published but led to no claim although a slot is free that could take them are withdrawn, to be
-- published again; each time one interval later, up to a minute: not faster, since in a rolling upgrade workers of
-- another version take their share of the hints and leave them. So are those that no live host can take. A hint that waits
-- for a busy fleet is not lost.
create function withdraw_lost_hints(p_after interval) returns void
language sql set search_path from current as $$
    with running as (
        select a.host, count(*) as agents from attempt a where a.ended_at is null group by a.host
    ), live as materialized (
        select h.name, t.agent_type, coalesce(r.agents, 0) < h.slots as free
        from live_host h join host_agent_type t on t.host = h.name left join running r on r.host = h.name
    ), free as (
        select live.name, live.agent_type from live where live.free
    ), lost as (
        select o.job from open_job o
        where o.ready and o.worker is null
          and o.proposed_at < now() - least(p_after * greatest(o.proposals, 1), interval '60 seconds')
          and (exists (select from free f where f.agent_type = o.agent_type and f.name = coalesce(o.host, f.name))
               or (exists (select from live) and not exists (
                   select from live l where l.agent_type = o.agent_type and l.name = coalesce(o.host, l.name)
               )))
        order by o.job for update of o skip locked
    )
    update open_job o set proposed_at = null, gave_way = false from lost where o.job = lost.job
$$;

-- Streams without an open job are closed, and where the database is FOSSology's a mail about each becomes due, unless the
-- type of its last job is quiet. Nobody mirrors meanwhile: a new row of a closed stream would never be planned.
create function close_streams() returns void
language plpgsql set search_path from current as $$
declare
    v_closed int[];
begin
    if not exists (
        select from stream s where s.leased_until < now() and not exists (select from open_job o where o.stream = s.stream)
    ) then
        return;
    end if;
    perform from progress for update;
    with closed as (
        delete from stream s where s.leased_until < now() and not exists (select from open_job o where o.stream = s.stream)
        returning s.stream
    )
    select array_agg(closed.stream) into v_closed from closed;
    if v_closed is null or to_regclass('users') is null or to_regclass('sysconfig') is null then
        return;
    end if;
    insert into mail (stream, ending, message, since)
    select c.stream, last.job || '.' || last.epoch, coalesce(said.email, ''), greatest(0, last.first - 1000)
    from unnest(v_closed) as c (stream)
    cross join lateral (
        select a.job, a.epoch, a.agent_type, min(a.job) over () as first
        from attempt a where a.stream = c.stream order by a.ended_at desc, a.job desc, a.epoch desc limit 1
    ) last
    left join lateral (
        select a.email from attempt a where a.stream = c.stream and a.email is not null order by a.ended_at desc limit 1
    ) said on true
    where not exists (select from agent_type t where t.name = last.agent_type and t.quiet)
    on conflict do nothing;
end
$$;

-- A mail that is due, now this caller's for a while.
create function take_mail(p_lease interval) returns table (id int, stream int, ending text, tries int)
language plpgsql set search_path from current as $$
#variable_conflict use_column
begin
    return query
        with due as (
            select m.id from mail m where m.due_at <= now() order by m.due_at limit 1 for update skip locked
        )
        update mail m set tries = m.tries + 1, due_at = now() + p_lease from due where m.id = due.id
        returning m.id, m.stream, m.ending, m.tries;
end
$$;

-- A worker reports its host: slots, what it can run now, and what it has but cannot run, with the reasons. Returns whether
-- that frees jobs which had no host (they are startable again), whether the host is to be drained and how many seconds are left
-- for that (null: any), and how often the configuration was to be read again. A host that is drained runs nothing; a new
-- worker ends that.
create function register_host(
    p_name text, p_slots int, p_worker text, p_types text[], p_broken text[], p_problems text[]
)
returns table (freed boolean, draining boolean, seconds_left float, reloads int)
language plpgsql set search_path from current as $$
#variable_conflict use_column
declare
    v_types text[];
begin
    insert into host as h (name, slots, worker, seen_at) values (p_name, p_slots, p_worker, now())
    on conflict (name) do update
    set slots = excluded.slots, worker = excluded.worker, seen_at = now(),
        draining = h.draining and h.worker is not distinct from excluded.worker
    returning h.draining, extract(epoch from h.drain_until - now()) into draining, seconds_left;
    v_types := case when p_slots > 0 and not draining then p_types else '{}' end;
    delete from host_agent_type where host = p_name and agent_type <> all (v_types);
    insert into host_agent_type (host, agent_type) select p_name, unnest(v_types) on conflict do nothing;
    delete from host_problem where host = p_name and agent_type <> all (p_broken);
    insert into host_problem (host, agent_type, problem) select p_name, b.agent_type, b.problem
    from unnest(p_broken, p_problems) as b (agent_type, problem)
    on conflict (agent_type, host) do update set problem = excluded.problem where host_problem.problem <> excluded.problem;
    with held as (
        select o.job from open_job o
        where o.obstacle in ('no_host', 'broken_type', 'respawn') and o.agent_type = any (v_types) and coalesce(o.host, p_name) = p_name
          and o.ready and o.worker is null
        order by o.job for update skip locked
    )
    update open_job o set obstacle = null, subject = null from held where o.job = held.job;
    freed := found;
    select p.reloads into reloads from progress p;
    return next;
end
$$;

-- A bridge publishes the configuration: agent types, and the hosts that may be asked for by name.
create function publish_configuration(
    p_types text[], p_maxima int[], p_exclusive boolean[], p_local boolean[], p_quiet boolean[], p_attempts int[],
    p_retry_failed boolean[], p_retry_lost boolean[], p_backoff float[], p_problems text[], p_hosts text[], p_slots int[]
) returns void
language plpgsql set search_path from current as $$
begin
    delete from agent_type where name <> all (p_types);
    insert into agent_type (name, maximum, exclusive, local, quiet, attempts, retry_failed, retry_lost, backoff, problem)
    select * from unnest(
        p_types, p_maxima, p_exclusive, p_local, p_quiet, p_attempts, p_retry_failed, p_retry_lost, p_backoff, p_problems
    ) order by 1
    on conflict (name) do update
    set maximum = excluded.maximum, exclusive = excluded.exclusive, local = excluded.local, quiet = excluded.quiet,
        attempts = excluded.attempts, retry_failed = excluded.retry_failed, retry_lost = excluded.retry_lost,
        backoff = excluded.backoff, problem = excluded.problem;
    delete from host where worker is null and name <> all (p_hosts);  -- no worker has ever been there
    insert into host (name, slots) select * from unnest(p_hosts, p_slots)
    on conflict (name) do update set slots = excluded.slots where host.worker is null;
    -- A limit may have been lifted: who waits for one asks again.
    update open_job set obstacle = null, subject = null
    where job in (
        select o.job from open_job o where o.obstacle in ('type_full', 'type_off') and o.ready and o.worker is null
        order by o.job for update skip locked
    );
end
$$;

-- Deletes what is known of attempts that ended more than p_days days ago; returns how many.
create function prune_attempts(p_days int) returns bigint
language plpgsql set search_path from current as $$
declare
    v_count bigint;
begin
    with old as (
        delete from attempt a
        where a.ended_at < now() - make_interval(days => p_days)
          and not exists (select from open_job o where o.job = a.job)
        returning a.job, a.epoch
    ), gone as (
        delete from output o using old where o.job = old.job and o.epoch = old.epoch
    )
    select count(*) into v_count from old;
    delete from mail m where m.due_at is null and m.made_at < now() - make_interval(days => p_days);
    delete from output o where o.written_at < now() - make_interval(days => p_days)
      and not exists (select from attempt a where a.job = o.job and a.epoch = o.epoch);
    return v_count;
end
$$;
