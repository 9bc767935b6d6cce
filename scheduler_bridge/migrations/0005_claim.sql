-- Claim, first OK, renewal.

-- "May this job start on this host, and if not, why?" The one answer that claim, `status` and `why` give; p_host
-- null asks about any host. kind is null when it may start. The order of the questions is the order of importance.
create function obstacle(p_job int, p_host text, out kind text, out subject text)
language plpgsql stable set search_path from current as $$
declare
    v record;
    v_needs record;
begin
    select o.worker, case when t.local then 'localhost' else o.host end as wanted, o.agent_type, q.jq_pk, q.jq_starttime, q.jq_endtime, q.jq_end_bits, j.job_pk,
           t.name as type, t.maximum, t.exclusive, h.slots
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
    elsif v.wanted is not null and v.wanted <> coalesce(p_host, v.wanted) then
        kind := 'wrong_host'; subject := v.wanted;
    elsif p_host is null and not exists (
        select from host_agent_type a join host h on h.name = a.host
        where a.agent_type = v.agent_type and a.host = coalesce(v.wanted, a.host) and h.seen_at > now() - interval '30 seconds'
    ) then
        kind := 'no_host'; subject := v.agent_type;
    elsif exists (
        select from attempt a join agent_type t on t.name = a.agent_type where a.ended_at is null and t.exclusive
    ) or (not v.exclusive and exists (
        select from open_job o
        where o.ready and o.worker is null
          and (o.obstacle = 'exclusive_waits' or (o.obstacle = 'exclusive_next' and o.refused_at > now() - interval '60 seconds'))
    )) then
        kind := 'exclusive_runs';
    elsif v.exclusive and exists (select from attempt a where a.ended_at is null) then
        kind := 'exclusive_waits'; subject := v.agent_type;
    elsif p_host is not null and (select count(*) from attempt a where a.ended_at is null and a.host = p_host) >= v.slots then
        kind := 'host_full'; subject := p_host;
    elsif (select count(*) from attempt a where a.ended_at is null and a.agent_type = v.agent_type) >= v.maximum then
        kind := 'type_full'; subject := v.agent_type;
    end if;
end
$$;

-- Leases one job to a worker, or says why not. The rows are the truth; nothing starts but through here.
-- The limits it draws on are locked first, always in this order: exclusivity, host, agent type. They are advisory locks
-- of this transaction, so that a host's heartbeat and a claim never wait for each other. Only then, in statements of
-- their own and so with later snapshots, the decision is made.
-- The commit is not flushed: the agent gets no data before `started`, whose commit is, has been written after it.
-- `recorded` tells whether the refusal is news to the row: then the caller asks again (see PostgresStore).
create function claim(p_job int, p_worker text, p_host text, p_lease interval)
returns table (
    kind text, subject text, epoch int, stream int, agent_type text, data text, arguments text,
    user_pk int, group_pk int, priority int, recorded boolean
)
language plpgsql set search_path from current as $$
declare
    v_type agent_type;
    v record;
    v_ready boolean;  -- null: the question was not reached
begin
    perform set_config('synchronous_commit', 'off', true);
    select t.* into v_type from open_job o left join agent_type t on t.name = o.agent_type where o.job = p_job;
    if v_type.exclusive then
        perform pg_advisory_xact_lock(7316, 0);
    else
        perform pg_advisory_xact_lock_shared(7316, 0);
    end if;
    perform pg_advisory_xact_lock(7317, hashtext(p_host));
    if v_type.maximum is not null then
        perform pg_advisory_xact_lock(7318, hashtext(v_type.name));
    end if;

    select b.kind, b.subject into kind, subject from obstacle(p_job, p_host) b;
    if kind is null then
        update open_job o
        set worker = p_worker, epoch = o.epoch + 1, obstacle = null, subject = null, proposals = 0, proposed_at = null, ready = true
        from jobqueue q join job j on j.job_pk = q.jq_job_fk
        where o.job = p_job and o.worker is null and q.jq_pk = p_job
        returning o.epoch, o.stream, o.agent_type, coalesce(q.jq_args, '') as data, coalesce(q.jq_cmd_args, '') as arguments,
                  coalesce(j.job_user_fk, 0) as user_pk, coalesce(j.job_group_fk, 0) as group_pk, j.job_priority into v;
        if found then
            insert into attempt (job, epoch, stream, agent_type, worker, host, renewed_at, expires_at)
            values (p_job, v.epoch, v.stream, v.agent_type, p_worker, p_host, now(), now() + p_lease);
            return query select null::text, null::text, v.epoch, v.stream, v.agent_type, v.data, v.arguments,
                                v.user_pk, v.group_pk, v.job_priority, false;
            return;
        end if;
        kind := 'taken';
    end if;
    if kind in ('ended', 'orphan') then
        -- Asked again under its lock: the row may be new, and mirrored since.
        perform lock_jobs(array[p_job]);
        perform forget_jobs(array(
            select o.job from open_job o cross join obstacle(p_job, p_host) b
            where o.job = p_job and o.worker is null and b.kind in ('ended', 'orphan')
        ));
    elsif kind <> 'taken' or subject = 'another scheduler' then  -- whoever has taken it may have returned it by now
        v_ready := case when kind in ('needs', 'doomed') then false when kind in ('paused', 'taken') then null else true end;
        update open_job o
        set proposed_at = null, obstacle = claim.kind, subject = claim.subject, refused_at = now(), ready = coalesce(v_ready, o.ready)
        where o.job = p_job and o.worker is null
          and (o.proposed_at is not null or o.ready <> v_ready or o.obstacle is distinct from claim.kind
               or o.subject is distinct from claim.subject);
        recorded := found;
    end if;
    return next;
end
$$;

-- The agent's first OK: FOSSology's Started. False: the row is no longer ours to start (paused, killed, taken back).
-- Asked again after a lost answer, it answers the same.
create function started(p_job int, p_epoch int, p_pid int) returns boolean
language plpgsql set search_path from current as $$
begin
    with held as (
        select a.host from attempt a where a.job = p_job and a.epoch = p_epoch and a.ended_at is null for update
    ), begun as (
        update jobqueue q set jq_starttime = now(), jq_endtext = 'Started', jq_schedinfo = held.host || '.' || p_pid
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
-- still held; one that is missing has moved on or was ended by somebody else, and its agent must die.
create function renew(p_worker text, p_jobs int[], p_epochs int[], p_items int[], p_lease interval) returns setof int
language plpgsql set search_path from current as $$
begin
    return query
        with held as (
            update attempt a set renewed_at = now(), expires_at = now() + p_lease, items = r.items
            from unnest(p_jobs, p_epochs, p_items) as r (job, epoch, items)
            where a.job = r.job and a.epoch = r.epoch and a.worker = p_worker and a.ended_at is null
            returning a.job, a.items, a.started_at
        ), counted as (
            update jobqueue q set jq_itemsprocessed = held.items from held
            where q.jq_pk = held.job and q.jq_itemsprocessed is distinct from held.items and q.jq_endtime is null
              and held.started_at is not null
        )
        select held.job from held join jobqueue q on q.jq_pk = held.job where q.jq_endtime is null;
end
$$;

-- Keeps what the agents of running attempts have printed, so that a killed worker leaves it behind.
create function keep_output(p_jobs int[], p_epochs int[], p_tails bytea[]) returns void
language sql set search_path from current as $$
    insert into output (job, epoch, tail)
    select r.job, r.epoch, r.tail from unnest(p_jobs, p_epochs, p_tails) as r (job, epoch, tail)
    on conflict (job, epoch) do update set tail = excluded.tail, written_at = now()
$$;
