-- How attempts end, and what becomes possible then.

-- Ends one attempt under its epoch; false when the lease has moved on, and then nothing was written. Asked again after
-- a lost answer, it answers the same.
-- completed and failed end the row with FOSSology's texts; returned and lost free it again, as if never started, unless
-- somebody else has ended it. A row that is returned because this host cannot run it now (p_obstacle) is not proposed
-- again before the sweep looks at it.
create function finish(
    p_job int, p_epoch int, p_ending text, p_items int, p_reason text, p_tail bytea,
    p_obstacle text default null, p_subject text default null
) returns boolean
language plpgsql set search_path from current as $$
begin
    update attempt a set ended_at = now(), ending = p_ending, reason = p_reason, items = p_items
    where a.job = p_job and a.epoch = p_epoch and a.ended_at is null;
    if not found then
        return exists (select from attempt a where a.job = p_job and a.epoch = p_epoch and a.ending = p_ending);
    end if;
    if p_tail <> '' then
        perform keep_output(array[p_job], array[p_epoch], array[p_tail]);
    end if;
    if p_ending in ('completed', 'failed') then
        update jobqueue q
        set jq_endtime = now(), jq_end_bits = jq_end_bits | case p_ending when 'completed' then 1 else 2 end,
            jq_endtext = case p_ending when 'completed' then 'Completed' else 'Failed' end,
            jq_schedinfo = null, jq_itemsprocessed = p_items
        where q.jq_pk = p_job and q.jq_endtime is null;
        if p_ending = 'failed' and exists (select from jobqueue q where q.jq_pk = p_job and q.jq_end_bits >= 2) then
            perform fail_dependents(p_job);
        end if;
        perform forget_jobs(array[p_job]);
    else
        update jobqueue q set jq_starttime = null, jq_endtext = null, jq_schedinfo = null
        from attempt a
        where q.jq_pk = p_job and q.jq_endtime is null and q.jq_starttime < '9999-12-31'
          and a.job = p_job and a.epoch = p_epoch and a.started_at is not null;
        if exists (select from jobqueue q where q.jq_pk = p_job and q.jq_endtime is null) then
            update open_job o
            set worker = null, ready = true, proposed_at = null, proposals = 0, obstacle = p_obstacle, subject = p_subject,
                refused_at = now()
            where o.job = p_job;
        else
            perform forget_jobs(array[p_job]);
        end if;
    end if;
    return true;
end
$$;

-- Frees what waited for a limit that an ended attempt drew on: one job that waits for its agent type, one that waits
-- for a host and may run on this one; when nothing runs any more, the exclusive job that waits; when no exclusive job
-- runs or waits, those that waited for it. Returns the jobs. Two that end together free two: each takes the first
-- that the other has not taken.
create function release(p_type text, p_host text) returns int[]
language plpgsql set search_path from current as $$
declare
    v_idle boolean;
    v_jobs int[];
begin
    if not exists (select from open_job o where o.ready and o.worker is null and o.obstacle is not null) then
        return '{}';
    end if;
    v_idle := not exists (select from attempt a where a.ended_at is null);
    with for_type as (
        select o.job, null::text as obstacle from open_job o
        where o.obstacle = 'type_full' and o.subject = p_type and o.ready and o.worker is null
        order by o.priority desc, o.job limit 1 for update skip locked
    ), for_host as (
        select o.job, null::text as obstacle from open_job o
        where o.obstacle = 'host_full' and coalesce(o.host, p_host) = p_host and o.ready and o.worker is null
        order by o.priority desc, o.job limit 1 for update skip locked
    ), alone as (
        select o.job, 'exclusive_next' as obstacle from open_job o
        where v_idle and o.obstacle = 'exclusive_waits' and o.ready and o.worker is null
        order by o.priority desc, o.job limit 1 for update skip locked
    ), with_others as (
        select o.job, null::text as obstacle from open_job o
        where o.obstacle = 'exclusive_runs' and o.ready and o.worker is null
          and not exists (select from open_job x where x.obstacle in ('exclusive_waits', 'exclusive_next') and x.ready and x.worker is null)
          and not exists (select from attempt a join agent_type t on t.name = a.agent_type where a.ended_at is null and t.exclusive)
        order by o.priority desc, o.job limit 200 for update skip locked
    ), freed as (
        table for_type union all table for_host union all table alone union all table with_others
    ), moved as (
        update open_job o set obstacle = freed.obstacle, subject = null, refused_at = now(), proposed_at = null
        from freed where o.job = freed.job returning o.job
    )
    select array_agg(moved.job) into v_jobs from moved;
    return coalesce(v_jobs, '{}');
end
$$;

-- What the end of an attempt made possible, marked as proposed and returned for publishing (see `propose`): first what it
-- freed itself, then (refill) more of its stream where the window has become half empty. To be called after the
-- commit of `finish`, in a transaction of its own: its snapshot then holds every finish that was committed before, so
-- that of two prerequisites that end together the later one sees both. p_next is the job whose hint Celery sends by
-- itself, the next link of the chain that carried this one. Whether the dependents start or fail is the row's to say:
-- somebody else may have ended it.
create function startable(p_job int, p_epoch int, p_next int, p_window int)
returns table (refill boolean, head int, link int, job int, stream int, agent_type text, host text)
language plpgsql set search_path from current as $$
declare
    v attempt;
    v_bits int;  -- null: the row has not ended
    v_dependents int[];
    v_ready int[];
    v_freed int[];
begin
    perform set_config('synchronous_commit', 'off', true);
    select * into v from attempt a where a.job = p_job and a.epoch = p_epoch;
    select q.jq_end_bits into v_bits from jobqueue q where q.jq_pk = p_job and q.jq_endtime is not null;
    if v_bits >= 2 then
        perform fail_dependents(p_job);  -- also rows that were mirrored while `finish` was under way
    elsif v_bits is not null then
        select array_agg(e.job) into v_dependents from edge e where e.needs = p_job;
        if v_dependents is not null then
            perform lock_jobs(v_dependents);
            delete from edge e where e.needs = p_job and e.job = any (v_dependents);
            v_ready := satisfied(v_dependents);
            perform make_ready(v_ready);
            -- Whoever carried the hint of what was not ready is gone, unless it is this chain and its next link.
            update open_job o set proposed_at = case o.job when p_next then now() end
            where o.job = any (v_dependents) and o.ready and o.worker is null
              and (o.job = p_next or (o.proposed_at is not null and o.job = any (v_ready)));
        end if;
    end if;
    v_freed := release(v.agent_type, v.host) || (v_dependents)[:p_window];
    if cardinality(v_freed) > 0 then
        return query select false, p.* from propose(v_freed) p;
    end if;
    return query select true, t.* from top_up(array[v.stream], p_window, p_window / 2) t;
end
$$;
