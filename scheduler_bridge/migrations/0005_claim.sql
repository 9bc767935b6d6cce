-- Claim, first OK, renewal.

-- Whether a job that runs alone has been refused because others run, or has been called since, and could start otherwise:
-- then no other starts before it. One that is paused or has no host holds up nobody.
create function exclusive_is_next() returns boolean
language plpgsql stable set search_path from current as $$
begin
    return exists (
        select from open_job o join jobqueue q on q.jq_pk = o.job
        where o.ready and o.worker is null
          and (o.obstacle = 'exclusive_waits' or (o.obstacle = 'exclusive_next' and o.refused_at > now() - interval '60 seconds'))
          and q.jq_starttime is null and q.jq_endtime is null and has_taker(o.agent_type, o.host)
    );
end
$$;

-- A time as people read it, in the time zone of the connection.
create function shown_time(p_time timestamptz) returns text
language plpgsql stable as $$
begin
    return to_char(p_time, 'YYYY-MM-DD HH24:MI:SS TZ');
end
$$;

-- "May this job start on this host, and if not, why?" The one answer that claim, `status` and `why` give; p_host
-- null asks about any host. kind is null when it may start. The order of the questions is the order of importance.
create function obstacle(p_job int, p_host text, out kind text, out subject text)
language plpgsql stable set search_path from current as $$
declare
    v record;
    v_needs record;
begin
    select o.worker, case when t.local then 'localhost' else o.host end as wanted, o.agent_type, o.not_before, q.jq_pk, q.jq_starttime, q.jq_endtime, q.jq_end_bits, j.job_pk,
           t.name as type, t.maximum, t.exclusive, t.problem, h.slots
    into v
    from open_job o left join jobqueue q on q.jq_pk = o.job left join job j on j.job_pk = q.jq_job_fk
    left join agent_type t on t.name = o.agent_type left join host h on h.name = p_host
    where o.job = p_job;
    if not found or v.jq_pk is null or v.jq_endtime is not null or v.jq_end_bits >= 2 then
        kind := 'ended'; return;
    elsif v.job_pk is null then
        kind := 'orphan'; return;
    elsif v.worker is not null then
        kind := 'taken'; subject := v.worker; return;
    elsif v.jq_starttime >= '9999-12-31' then
        kind := 'paused'; return;
    elsif v.jq_starttime is not null then
        kind := 'taken'; subject := 'another scheduler'; return;
    end if;

    select bool_or(p.jq_pk is null or p.jq_endtime is not null) as doomed,
           string_agg(coalesce(d.jdep_jq_depends_fk::text, 'a job that does not exist'), ', ' order by d.jdep_jq_depends_fk)
               filter (where p.jq_pk is null or p.jq_endtime is not null) as failed,
           string_agg(d.jdep_jq_depends_fk::text, ', ' order by d.jdep_jq_depends_fk) as unmet
    into v_needs
    from (select distinct jdep_jq_depends_fk from jobdepends where jdep_jq_fk = p_job) d left join jobqueue p on p.jq_pk = d.jdep_jq_depends_fk
    where p.jq_endtime is null or p.jq_end_bits >= 2;
    if v_needs.doomed then
        kind := 'doomed'; subject := left(v_needs.failed, 200); return;
    elsif v_needs.doomed is not null then
        kind := 'needs'; subject := left(v_needs.unmet, 200); return;
    end if;

    if v.type is null then
        kind := 'unknown_type'; subject := v.agent_type;
    elsif v.not_before > now() then
        kind := 'backoff'; subject := shown_time(v.not_before);
    elsif v.wanted is not null and v.wanted <> coalesce(p_host, v.wanted) then
        kind := 'wrong_host'; subject := v.wanted;
    elsif p_host is null and not has_taker(v.agent_type, v.wanted) then
        if v.problem is null then
            kind := 'no_host'; subject := missing_host(v.agent_type, v.wanted);
        else
            kind := 'broken_type'; subject := v.problem;
        end if;
    elsif exists (
        select from attempt a join agent_type t on t.name = a.agent_type where a.ended_at is null and t.exclusive
    ) or (not v.exclusive and exclusive_is_next()) then
        kind := 'exclusive_runs';
    elsif v.exclusive and exists (select from attempt a where a.ended_at is null) then
        kind := 'exclusive_waits'; subject := v.agent_type;
    elsif p_host is not null and (select count(*) from attempt a where a.ended_at is null and a.host = p_host) >= v.slots then
        kind := 'host_full'; subject := p_host;
    elsif v.maximum = 0 then
        kind := 'type_off'; subject := v.agent_type;
    elsif (select count(*) from attempt a where a.ended_at is null and a.agent_type = v.agent_type) >= v.maximum then
        kind := 'type_full'; subject := v.agent_type;
    end if;
end
$$;

-- The job that goes first on this host when the hint for p_job arrives. A more urgent one whose own hint is still under way
-- does; p_job then gives way to it, and in its turn goes before those of the same urgency that were proposed later.
-- A hint that finds its own job gone or refused serves one that gave way: there are as many hints as there are jobs.
create function first_in_turn(p_job int, p_host text) returns int
language plpgsql stable set search_path from current as $$
declare
    v open_job;
    v_first int;
begin
    select * into v from open_job o
    where o.job = p_job and o.ready and o.worker is null and coalesce(o.obstacle, 'exclusive_next') = 'exclusive_next';
    if found then
        select o.job into v_first from open_job o
        where o.proposed_at is not null and o.worker is null and o.priority > v.priority
          and o.ready and coalesce(o.obstacle, 'exclusive_next') = 'exclusive_next' and coalesce(o.host, p_host) = p_host
          and exists (select from host_agent_type a where a.agent_type = o.agent_type and a.host = p_host)
        order by o.priority desc, o.proposed_at, o.job limit 1;
    end if;
    if v_first is null then
        select o.job into v_first from open_job o
        where o.gave_way and o.worker is null and o.proposed_at is not null
          and o.ready and coalesce(o.obstacle, 'exclusive_next') = 'exclusive_next' and coalesce(o.host, p_host) = p_host
          and exists (select from host_agent_type a where a.agent_type = o.agent_type and a.host = p_host)
          and (v.job is null or (o.priority = v.priority and (o.proposed_at, o.job) < (v.proposed_at, v.job)))
        order by o.priority desc, o.proposed_at, o.job limit 1;
    end if;
    return coalesce(v_first, p_job);
end
$$;

-- Leases to a worker the job that a hint is for, or the one that goes before it (`first_in_turn`), or says why not. The rows
-- are the truth; nothing starts but through here.
-- The limits it draws on are locked first, always in this order: exclusivity, host, agent type. They are advisory locks
-- of this transaction, so that a host's heartbeat and a claim never wait for each other. Only then, in statements of
-- their own and so with later snapshots, the decision is made.
-- The commit is not flushed: the agent gets no data before `started`, whose commit is, has been written after it.
-- `recorded` tells whether the refusal is news to the row: then the caller asks again (see PostgresStore).
create function claim(p_hint int, p_worker text, p_host text, p_lease interval)
returns table (
    kind text, subject text, job int, epoch int, stream int, agent_type text, data text, arguments text,
    user_pk int, group_pk int, priority int, recorded boolean
)
language plpgsql set search_path from current as $$
declare
    v_type agent_type;
    v record;
    v_ready boolean;  -- null: the question was not reached
begin
    perform set_config('synchronous_commit', 'off', true);
    job := first_in_turn(p_hint, p_host);
    select t.* into v_type from open_job o left join agent_type t on t.name = o.agent_type where o.job = claim.job;
    if v_type.exclusive then
        perform pg_advisory_xact_lock(7316, 0);
    else
        perform pg_advisory_xact_lock_shared(7316, 0);
    end if;
    perform pg_advisory_xact_lock(7317, hashtext(p_host));
    if v_type.maximum is not null then
        perform pg_advisory_xact_lock(7318, hashtext(v_type.name));
    end if;

    select b.kind, b.subject into kind, subject from obstacle(job, p_host) b;
    if kind is null then
        if job <> p_hint then
            perform lock_jobs(array[job, p_hint]);
            update open_job o set gave_way = true
            where o.job = p_hint and o.ready and o.worker is null and o.proposed_at is not null;
        end if;
        update open_job o
        set worker = p_worker, epoch = o.epoch + 1, obstacle = null, subject = null, proposals = 0, proposed_at = null,
            gave_way = false, ready = true
        from jobqueue q join job j on j.job_pk = q.jq_job_fk
        where o.job = claim.job and o.worker is null and q.jq_pk = claim.job
        returning o.epoch, o.stream, o.agent_type, coalesce(q.jq_args, '') as data, coalesce(q.jq_cmd_args, '') as arguments,
                  coalesce(j.job_user_fk, 0) as user_pk, coalesce(j.job_group_fk, 0) as group_pk, j.job_priority into v;
        if found then
            insert into attempt (job, epoch, stream, agent_type, worker, host, renewed_at, expires_at)
            values (claim.job, v.epoch, v.stream, v.agent_type, p_worker, p_host, now(), now() + p_lease);
            return query select null::text, null::text, claim.job, v.epoch, v.stream, v.agent_type, v.data, v.arguments,
                                v.user_pk, v.group_pk, v.job_priority, false;
            return;
        end if;
        kind := 'taken';
        recorded := true;  -- somebody was quicker: this hint may serve one that gave way
    end if;
    if kind in ('ended', 'orphan') then
        -- Asked again under its lock: the row may be new, and mirrored since.
        perform lock_jobs(array[job]);
        perform forget_jobs(array(
            select o.job from open_job o cross join obstacle(claim.job, p_host) b
            where o.job = claim.job and o.worker is null and b.kind in ('ended', 'orphan')
        ));
    elsif kind <> 'taken' or subject = 'another scheduler' then  -- whoever has taken it may have returned it by now
        v_ready := case when kind in ('needs', 'doomed') then false when kind in ('paused', 'taken') then null else true end;
        update open_job o
        set proposed_at = null, gave_way = false, obstacle = claim.kind, subject = claim.subject, refused_at = now(),
            ready = coalesce(v_ready, o.ready)
        where o.job = claim.job and o.worker is null
          and (o.proposed_at is not null or o.ready <> v_ready or o.obstacle is distinct from claim.kind
               or o.subject is distinct from claim.subject);
        recorded := found;
    end if;
    return next;
end
$$;

-- The agent's first OK: FOSSology's Started, whose schedinfo says localhost whatever the host. False: the row is no longer ours
-- to start (paused, killed, taken back).
-- Asked again after a lost answer, it answers the same.
create function started(p_job int, p_epoch int, p_pid int) returns boolean
language plpgsql set search_path from current as $$
begin
    with held as (
        select a.host from attempt a where a.job = p_job and a.epoch = p_epoch and a.ended_at is null for update
    ), begun as (
        update jobqueue q set jq_starttime = now(), jq_endtext = 'Started', jq_schedinfo = 'localhost.' || p_pid
        from held where q.jq_pk = p_job and q.jq_starttime is null and q.jq_endtime is null
        returning q.jq_pk
    )
    update attempt a set started_at = now(), agent_pid = p_pid from begun where a.job = begun.jq_pk and a.epoch = p_epoch;
    return found or exists (
        select from attempt a
        where a.job = p_job and a.epoch = p_epoch and a.ended_at is null and a.started_at is not null and a.agent_pid = p_pid
    );
end
$$;

-- Extends the leases of a worker's jobs and stores their counts, all in one statement of the caller. Returns the jobs
-- still held with what is ordered for them; one that is missing has moved on, or somebody else has ended its row or set it back,
-- and its agent must die.
create function renew(p_worker text, p_jobs int[], p_epochs int[], p_items int[], p_lease interval)
returns table (job int, paused boolean, priority int, verbosity int)
language plpgsql set search_path from current as $$
#variable_conflict use_column
begin
    return query
        with held as (
            update attempt a set renewed_at = now(), expires_at = now() + p_lease, items = r.items
            from unnest(p_jobs, p_epochs, p_items) as r (job, epoch, items)
            where a.job = r.job and a.epoch = r.epoch and a.worker = p_worker and a.ended_at is null
            returning a.job, a.epoch, a.items, a.started_at
        ), counted as (
            update jobqueue q set jq_itemsprocessed = held.items from held
            where q.jq_pk = held.job and q.jq_itemsprocessed is distinct from held.items and q.jq_endtime is null
              and held.started_at is not null
        )
        select held.job, q.jq_endtext is not distinct from 'Paused', j.job_priority, o.verbosity
        from held join jobqueue q on q.jq_pk = held.job join job j on j.job_pk = q.jq_job_fk
        left join open_job o on o.job = held.job
        -- Set back by hand: asked of one snapshot, which knows nothing of a start that is being committed now.
        where q.jq_endtime is null and (q.jq_starttime is not null or not exists (
            select from attempt b where b.job = held.job and b.epoch = held.epoch and b.started_at is not null
        ));
end
$$;

-- Keeps what the agents of running attempts have printed, so that a killed worker leaves it behind.
create function keep_output(p_jobs int[], p_epochs int[], p_tails bytea[]) returns void
language sql set search_path from current as $$
    insert into output (job, epoch, tail)
    select r.job, r.epoch, r.tail from unnest(p_jobs, p_epochs, p_tails) as r (job, epoch, tail)
    on conflict (job, epoch) do update set tail = excluded.tail, written_at = now()
$$;

-- Where the logs of running attempts are, for whoever shows them.
create function keep_log_paths(p_jobs int[], p_epochs int[], p_paths text[]) returns void
language sql set search_path from current as $$
    update jobqueue q set jq_log = r.path
    from unnest(p_jobs, p_epochs, p_paths) as r (job, epoch, path)
    join attempt a on a.job = r.job and a.epoch = r.epoch and a.ended_at is null
    where q.jq_pk = r.job and q.jq_log is distinct from r.path
$$;
