-- From foreign rows to the mirror, and from the mirror to the planner.

-- The only host that a row may run on; null: any.
create function wanted_host(p_host text, p_local boolean) returns text
language sql immutable as $$
    select case when p_local then 'localhost' else nullif(p_host, '') end
$$;

-- Has tables analyzed that had less than a tenth of their rows when PostgreSQL last looked: p_rows at least are in each of them, or
-- as many as were counted. Until autovacuum comes by, in a minute or more, such a table may be taken for empty whatever its size:
-- then ten thousand rows are joined with ten thousand one by one. What is not ours to analyze is left alone, and so is what somebody
-- else analyzes, vacuums or indexes, of which skip_locked by itself would warn each time.
create function keep_statistics(p_tables regclass[], p_rows bigint) returns void
language plpgsql set search_path from current set vacuum_cost_delay = 0 as $$
declare
    v_table regclass;
begin
    for v_table in
        select c.oid
        from pg_class c cross join lateral (select greatest(p_rows, pg_stat_get_live_tuples(c.oid)) as rows) known
        where c.oid = any (p_tables) and known.rows > 1000 and known.rows > 10 * c.reltuples and pg_has_role(c.relowner, 'usage')
    loop
        continue when exists (
            select from pg_locks l
            where l.relation = v_table and l.granted and l.pid <> pg_backend_pid()
              and l.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
        );
        execute format('analyze (skip_locked) %s', v_table);
    end loop;
end
$$;

-- What these jobs need and is not there, by the foreign tables. Looked up row by row: they may be another's, and a join of tables
-- that nobody has analyzed be of ten thousand rows with ten thousand.
create function unsatisfied(p_jobs int[]) returns table (job int, needs int)
language plpgsql stable set search_path from current set enable_seqscan = off as $$
begin
    return query
        select n.job, coalesce(d.needs, 0)
        from unnest(p_jobs) as n (job)
        cross join lateral (select d.jdep_jq_depends_fk as needs from jobdepends d where d.jdep_jq_fk = n.job offset 0) d
        left join lateral (select p.jq_endtime, p.jq_end_bits from jobqueue p where p.jq_pk = d.needs offset 0) p on true
        where p.jq_endtime is null or p.jq_end_bits >= 2;
end
$$;

-- Mirrors open rows of jobqueue with p_low < jq_pk <= p_high and their unsatisfied dependencies.
-- Left out: rows the pre-2.0 scheduler's operators queued as commands, and rows that another scheduler has started.
create function mirror(p_low int, p_high int) returns int[]
language plpgsql set search_path from current as $$
declare
    v_new int[];
    v_edges bigint;
begin
    perform pg_advisory_xact_lock(7319, 0);  -- see `no_mirroring`
    -- In a statement of its own: an anti join against the table that is being filled reads what it has just written.
    select array_agg(n.job) into v_new from (
        select q.jq_pk as job from jobqueue q
        where q.jq_pk > p_low and q.jq_pk <= p_high and q.jq_endtime is null and q.jq_end_bits < 2
          and (q.jq_starttime is null or q.jq_starttime >= '9999-12-31') and q.jq_type <> 'command'
        except select o.job from open_job o where o.job > p_low and o.job <= p_high
    ) n;
    if v_new is null then
        return '{}';
    end if;
    perform keep_statistics('{jobqueue}', cardinality(v_new));
    with fresh as (
        insert into open_job (job, stream, agent_type, host, priority, epoch, before)
        select q.jq_pk, q.jq_job_fk, q.jq_type, wanted_host(q.jq_host, t.local),
               j.job_priority, earlier.epoch, earlier.epoch
        from jobqueue q left join agent_type t on t.name = q.jq_type
        cross join lateral (select j.job_priority from job j where j.job_pk = q.jq_job_fk offset 0) j
        cross join lateral (select coalesce(max(a.epoch), 0) as epoch from attempt a where a.job = q.jq_pk) earlier
        where q.jq_pk = any (v_new)
        on conflict do nothing
        returning job, stream
    ), streams as (
        -- A stream that is there is left alone: `on conflict` would wait for whoever has it leased just now.
        insert into stream (stream) select distinct fresh.stream from fresh
        where not exists (select from stream s where s.stream = fresh.stream)
    ), unseen as (
        insert into unplanned (stream, job) select fresh.stream, fresh.job from fresh
    )
    select array_agg(job) into v_new from fresh;
    if v_new is null then
        return '{}';
    end if;
    insert into edge (job, needs)
    select distinct u.job, u.needs from unsatisfied(v_new) u
    order by 1, 2  -- in the order of the index: half the time at 200,000 rows
    on conflict do nothing;
    get diagnostics v_edges = row_count;
    perform keep_statistics('{open_job,unplanned}', cardinality(v_new)), keep_statistics('{edge}', v_edges);
    return v_new;
end
$$;

-- Mirrors what has been inserted since the last call; returns how many jobs are new.
-- Numbers are drawn before commits happen, so a number below the highest seen may still appear: `settled_through`
-- follows only when every transaction that was under way at an earlier look has ended. The slices of the sweep
-- are the net below (a number drawn long before its insert).
create function observe() returns int
language plpgsql set search_path from current as $$
declare
    v progress;
    v_new int;
    v_high int;
    v_next xid8;
begin
    perform set_config('synchronous_commit', 'off', true);  -- what a crash takes with it is seen again
    select * into v from progress for update;
    select coalesce(max(jq_pk), 0) into v_high from jobqueue;
    v_next := pg_snapshot_xmax(pg_current_snapshot());  -- after v_high: whoever drew a lower number began before
    if v_high = v.settled_through and v.pending_xid is null then
        return 0;
    end if;
    v_new := cardinality(mirror(v.settled_through, v_high));
    if v.pending_xid is null then
        update progress set pending_through = v_high, pending_xid = v_next;
    elsif pg_snapshot_xmin(pg_current_snapshot()) >= v.pending_xid then
        if v_high = v.pending_through then
            update progress set settled_through = v_high, pending_through = null, pending_xid = null;
        else
            update progress set settled_through = v.pending_through, pending_through = v_high, pending_xid = v_next;
        end if;
    end if;
    return v_new;
end
$$;

-- Streams with rows that the planner has not seen, leased to this bridge: for a millisecond a row, some twenty times what
-- planning takes, and p_lease beside; a bridge whose connection has ended holds nothing. Their new rows are settled here: after the
-- commit that mirrored them, so that a prerequisite which ended meanwhile is not missed.
create function lease_streams(p_owner text, p_only int[], p_lease interval) returns setof int
language plpgsql set search_path from current as $$
declare
    v_streams int[];
begin
    perform set_config('synchronous_commit', 'off', true);  -- here too: readiness and doom are read from the rows
    perform no_mirroring();
    with due as (
        select c.stream from stream c
        where (p_only is null or c.stream = any (p_only)) and (
                c.leased_until < now() or c.owner = p_owner
                or not exists (select from pg_stat_get_activity(c.leased_by))  -- its connection is gone, and so is the bridge
            )
          and exists (select from unplanned u where u.stream = c.stream)
        order by c.stream limit 100 for update skip locked
    )
    select array_agg(due.stream) into v_streams from due;
    if v_streams is null then
        return;
    end if;
    update stream s
    set owner = p_owner, leased_by = pg_backend_pid(),
        leased_until = now() + p_lease
                       + (select count(*) from unplanned u where u.stream = any (v_streams)) * interval '1 millisecond'
    where s.stream = any (v_streams);
    perform settle(array(select u.job from unplanned u where u.stream = any (v_streams)));
    return query select unnest(v_streams);
end
$$;

-- A stream's rows for the planner (own = true: not planned yet) and every open row that can be reached from them over
-- dependencies, in whatever stream (own = false), each with what it needs. A prerequisite that is under another
-- scheduler is no row of ours but exists; one that does not exist at all appears only among the needs.
create function stream_rows(p_stream int)
returns table (job int, stream int, agent_type text, host text, priority int, needs int[], own boolean)
language plpgsql stable set search_path from current as $$
#variable_conflict use_column
begin
    return query
        with recursive ours as materialized (
            select u.job, (select array_agg(e.needs) from edge e where e.job = u.job) as needs
            from unplanned u where u.stream = p_stream
        ), reach (job) as (
            select q.jq_pk
            from (select unnest(ours.needs) as needs from ours except select ours.job from ours) n join jobqueue q on q.jq_pk = n.needs
            union
            select q.jq_pk from reach r join edge e on e.job = r.job join jobqueue q on q.jq_pk = e.needs
        )
        select o.job, o.stream, o.agent_type, o.host, o.priority, ours.needs, true from ours join open_job o using (job)
        union all
        select r.job, 0, '', null, 0, (select array_agg(e.needs) from edge e where e.job = r.job), false
        from reach r where not exists (select from unplanned u where u.stream = p_stream and u.job = r.job);
end
$$;

-- Stores what the planner found: rows seen, linear runs, jobs to propose as heads of lines, jobs that can never start and
-- why. Returns the heads that are ours to publish: within the window, and nobody else has proposed or claimed them
-- meanwhile.
create function record_plan(
    p_stream int, p_owner text, p_planned int[], p_run_from int[], p_run_to int[], p_heads int[], p_links int[],
    p_faulty int[], p_faults text[], p_window int
) returns setof int
language plpgsql set search_path from current as $$
declare
    v_heads int[];
begin
    perform set_config('synchronous_commit', 'off', true);
    if cardinality(p_faulty) > 0 then
        perform no_mirroring();
    end if;
    perform from stream where stream = p_stream and owner = p_owner for update;
    if not found then
        return;
    end if;
    perform lock_jobs(
        p_run_from || p_heads[:p_window] || p_links || p_faulty || array(select d.job from dependents_of(p_faulty) d)
    );
    if cardinality(p_faulty) > 0 then
        perform fail_jobs(p_faulty, p_faults, p_faults);
    end if;
    delete from unplanned u where u.stream = p_stream and u.job = any (p_planned);
    if cardinality(p_run_from) > 0 then
        update open_job o set follower = r.to_job
        from unnest(p_run_from, p_run_to) as r (from_job, to_job) where o.job = r.from_job;
    end if;
    v_heads := worth_a_hint(p_heads[:p_window]);
    return query
        update open_job set proposed_at = now(), proposals = proposals + 1
        where job = any (v_heads) and ready and proposed_at is null and worker is null
        returning job;
    update open_job set proposed_at = now() where job = any (p_links) and not ready and worker is null;
    update stream set owner = null, leased_until = '-infinity' where stream = p_stream;
end
$$;

-- Publishing failed: the jobs wait again.
create function unpropose(p_jobs int[]) returns void
language plpgsql set search_path from current as $$
begin
    perform lock_jobs(p_jobs);
    update open_job set proposed_at = null where job = any (p_jobs) and worker is null;
end
$$;
