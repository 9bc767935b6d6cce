-- How attempts end, and what becomes possible then.

-- Attempts of a job that have failed or were lost since its row was queued.
create function counted_attempts(p_job int) returns int
language plpgsql stable set search_path from current as $$
begin
    return (
        select count(*) from attempt a join open_job o on o.job = a.job
        where a.job = p_job and a.ending in ('failed', 'lost') and a.epoch > o.before
    );
end
$$;

-- How long a job waits for its next attempt after one that has failed or was lost; null: it is given up. Attempts that were
-- returned do not count: nobody is to blame for them.
create function next_attempt(p_job int, p_ending text) returns interval
language plpgsql stable set search_path from current as $$
declare
    v_type agent_type;
    v_count int := counted_attempts(p_job);
begin
    select t.* into v_type from open_job o join agent_type t on t.name = o.agent_type where o.job = p_job;
    if v_count >= coalesce(v_type.attempts, 10)
       or (p_ending = 'failed' and not coalesce(v_type.retry_failed, false))
       or (p_ending = 'lost' and not coalesce(v_type.retry_lost, true)) then
        return null;
    end if;
    return least(interval '1 hour', coalesce(v_type.backoff, 0) * 2 ^ least(greatest(v_count - 1, 0), 20) * interval '1 second');
end
$$;

-- Ends one attempt under its epoch; false when the lease has moved on, and then nothing was written. Asked again after
-- a lost answer, it answers the same.
-- completed ends the row with FOSSology's text, and so does failed and lost where no attempt is left (`next_attempt`);
-- else the row is free again, as if never started, unless somebody else has ended it. So is one that somebody has set back
-- while its agent ran, however that ended: it is run as it asks, and nothing is counted. A row that is returned because
-- this host cannot run it now (p_obstacle) is not proposed again before the sweep looks at it.
create function finish(
    p_job int, p_epoch int, p_ending text, p_items int, p_reason text, p_tail bytea,
    p_obstacle text default null, p_subject text default null, p_email text default null
) returns boolean
language plpgsql set search_path from current as $$
declare
    v_wait interval := interval '0';  -- null: no further attempt
    v_started boolean;
begin
    if p_ending in ('failed', 'lost') then
        perform no_mirroring();
    end if;
    update attempt a set ended_at = now(), ending = p_ending, reason = p_reason, items = p_items, email = p_email
    where a.job = p_job and a.epoch = p_epoch and a.ended_at is null
    returning a.started_at is not null into v_started;
    if not found then
        return exists (
            select from attempt a where a.job = p_job and a.epoch = p_epoch and (a.ending = p_ending or a.reason = 'its row was set back')
        );
    end if;
    if p_tail <> '' then
        perform keep_output(array[p_job], array[p_epoch], array[p_tail]);
    end if;
    if p_ending in ('failed', 'lost') and not note_set_back(p_job, p_epoch) then
        v_wait := next_attempt(p_job, p_ending);
    end if;
    if p_ending = 'completed' or v_wait is null then
        perform end_row(p_job, p_epoch, p_ending, p_items, v_started);
    else
        perform free_row(p_job, p_epoch, v_wait, p_obstacle, p_subject);
    end if;
    return true;
end
$$;

-- Whether somebody has set the row back, its start away, while the agent ran; the ledger then has the attempt as returned.
create function note_set_back(p_job int, p_epoch int) returns boolean
language plpgsql set search_path from current as $$
begin
    update attempt a set ending = 'returned', reason = 'its row was set back'
    from jobqueue q
    where a.job = p_job and a.epoch = p_epoch and a.started_at is not null
      and q.jq_pk = p_job and q.jq_endtime is null and q.jq_starttime is null;
    return found;
end
$$;

-- Writes into the ledger that this attempt has not ended its row.
create function note_ended_from_outside(p_job int, p_epoch int) returns void
language plpgsql set search_path from current as $$
begin
    update attempt a
    set reason = 'ended from outside: ' || coalesce((select coalesce(q.jq_endtext, '') from jobqueue q where q.jq_pk = p_job), 'deleted')
    where a.job = p_job and a.epoch = p_epoch;
end
$$;

-- The part of `finish` that ends the row, unless somebody else has, and fails what depends on a failure.
create function end_row(p_job int, p_epoch int, p_ending text, p_items int, p_started boolean) returns void
language plpgsql set search_path from current as $$
begin
    update jobqueue q
    set jq_endtime = now(), jq_end_bits = jq_end_bits | case p_ending when 'completed' then 1 else 2 end,
        jq_endtext = case p_ending when 'completed' then 'Completed' else 'Failed' end,
        jq_schedinfo = null, jq_itemsprocessed = p_items
    where q.jq_pk = p_job and q.jq_endtime is null and (q.jq_starttime is not null or not p_started);
    if not found then
        if note_set_back(p_job, p_epoch) then
            perform free_row(p_job, p_epoch, interval '0', null, null);
            return;
        end if;
        if p_ending = 'completed' then
            perform note_ended_from_outside(p_job, p_epoch);
        end if;
    elsif p_ending = 'lost' or (p_ending = 'failed' and counted_attempts(p_job) > 1) then
        update attempt a set reason = a.reason || '; given up after ' || counted_attempts(p_job) || ' attempts'
        where a.job = p_job and a.epoch = p_epoch;
    end if;
    if p_ending <> 'completed' and exists (select from jobqueue q where q.jq_pk = p_job and q.jq_end_bits >= 2) then
        perform lock_jobs(p_job || array(select d.job from dependents_of(array[p_job]) d));
        perform fail_dependents(p_job);
    end if;
    perform forget_jobs(array[p_job]);
end
$$;

-- The part of `finish` that lets the row wait again.
create function free_row(p_job int, p_epoch int, p_wait interval, p_obstacle text, p_subject text) returns void
language plpgsql set search_path from current as $$
begin
    update jobqueue q
    set jq_starttime = case q.jq_endtext when 'Paused' then timestamptz '9999-12-31' end,  -- it stays paused
        jq_endtext = case q.jq_endtext when 'Paused' then q.jq_endtext end, jq_schedinfo = null
    from attempt a
    where q.jq_pk = p_job and q.jq_endtime is null and q.jq_starttime < '9999-12-31'
      and a.job = p_job and a.epoch = p_epoch and a.started_at is not null;
    update open_job o
    set worker = null, ready = true, proposed_at = null, proposals = 0, refused_at = now(),
        obstacle = case when q.jq_starttime >= '9999-12-31' then 'paused' when p_wait > interval '0' then 'backoff'
                        else p_obstacle end,
        subject = case when q.jq_starttime >= '9999-12-31' then null when p_wait > interval '0' then shown_time(now() + p_wait)
                       else p_subject end,
        not_before = case when p_wait > interval '0' then now() + p_wait end
    from jobqueue q where o.job = p_job and q.jq_pk = p_job and q.jq_endtime is null;
    if not found then
        perform note_ended_from_outside(p_job, p_epoch);
        perform forget_jobs(array[p_job]);
    end if;
end
$$;

-- Jobs that an ended attempt may free, to be locked before `release`: those that wait for its agent type, and those that
-- wait for a slot and may run on its host, more of them than are likely to be freed by others at the same moment; when
-- nothing runs any more, the exclusive job that waits; when no exclusive job runs or waits, those that waited for it.
create function parked(p_type text, p_host text) returns int[]
language plpgsql stable set search_path from current as $$
begin
    if not exists (select from open_job o where o.ready and o.worker is null and o.obstacle is not null) then
        return '{}';
    end if;
    return array(
        (select o.job from open_job o
         where o.obstacle = 'type_full' and o.subject = p_type and o.ready and o.worker is null
         order by o.priority desc, o.job limit 50)
        union all
        (select o.job from open_job o
         where o.obstacle = 'host_full' and coalesce(o.host, p_host) = p_host and o.ready and o.worker is null
         order by o.priority desc, o.job limit 50)
        union all
        (select o.job from open_job o
         where o.obstacle = 'exclusive_waits' and o.ready and o.worker is null
           and not exists (select from attempt a where a.ended_at is null)
         order by o.priority desc, o.job limit 1)
        union all
        (select o.job from open_job o
         where o.obstacle = 'exclusive_runs' and o.ready and o.worker is null
           and not exclusive_is_next()
           and not exists (select from attempt a join agent_type t on t.name = a.agent_type where a.ended_at is null and t.exclusive)
         order by o.priority desc, o.job limit 200)
    );
end
$$;

-- Frees of parked jobs those that one ended attempt frees: the first that waits for its agent type, the first that waits for
-- a slot, and whoever waited for exclusivity. Returns them. They are locked: two attempts that end together free two.
create function release(p_type text, p_parked int[]) returns int[]
language plpgsql set search_path from current as $$
declare
    v_jobs int[];
begin
    with waiting as (
        select o.job, o.obstacle, row_number() over (partition by o.obstacle order by o.priority desc, o.job) as place
        from open_job o
        where o.job = any (p_parked) and o.ready and o.worker is null
          and (o.obstacle in ('host_full', 'exclusive_waits', 'exclusive_runs') or (o.obstacle = 'type_full' and o.subject = p_type))
    ), freed as (
        update open_job o
        set obstacle = case w.obstacle when 'exclusive_waits' then 'exclusive_next' end, subject = null, refused_at = now(),
            proposed_at = null
        from waiting w where o.job = w.job and (w.place = 1 or w.obstacle = 'exclusive_runs') returning o.job
    )
    select array_agg(freed.job) into v_jobs from freed;
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
    v_doomed int[];
    v_dependents int[];
    v_parked int[];
    v_ready int[];
    v_freed int[];
begin
    perform set_config('synchronous_commit', 'off', true);
    select * into v from attempt a where a.job = p_job and a.epoch = p_epoch;
    select q.jq_end_bits into v_bits from jobqueue q where q.jq_pk = p_job and q.jq_endtime is not null;
    if v_bits >= 2 then
        perform no_mirroring();
        select q.jq_end_bits into v_bits from jobqueue q where q.jq_pk = p_job and q.jq_endtime is not null;
    end if;
    if v_bits >= 2 then  -- still, and not let to wait again meanwhile (`rerun_failed`)
        v_doomed := array(select d.job from dependents_of(array[p_job]) d);  -- of one that somebody killed while it ran
    elsif v_bits is not null then
        select array_agg(e.job) into v_dependents from edge e where e.needs = p_job;
    end if;
    v_parked := parked(v.agent_type, v.host);
    if v_doomed is not null or v_dependents is not null or v_parked <> '{}' then
        perform lock_jobs(v_doomed || v_dependents || v_parked);
        if v_doomed <> '{}' then
            perform fail_dependents(p_job);
        end if;
        if v_dependents is not null then
            delete from edge e where e.needs = p_job and e.job = any (v_dependents);
            v_ready := satisfied(v_dependents);
            perform make_ready(v_ready);
            -- Whoever carried the hint of what was not ready is gone, unless it is this chain and its next link.
            update open_job o set proposed_at = case o.job when p_next then now() end
            where o.job = any (v_dependents) and o.ready and o.worker is null
              and (o.job = p_next or (o.proposed_at is not null and o.job = any (v_ready)));
        end if;
    end if;
    v_freed := case when v_parked <> '{}' then release(v.agent_type, v_parked) end || v_dependents[:p_window];
    if v_freed <> '{}' then
        return query select false, p.* from propose(worth_a_hint(v_freed)) p;
    end if;
    return query select true, t.* from top_up(array[v.stream], p_window, p_window / 2) t;
end
$$;
