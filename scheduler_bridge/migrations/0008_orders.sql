-- Orders: what people tell running and waiting jobs through the command port. They are written to the rows first; sessions
-- learn of them with their next renewal, at once where the notification reaches their worker.

-- Ends a row that has not ended, with this text, and all that depends on it; the worker of a running agent ends that.
-- Returns whether there is such a row.
create function kill_job(p_job int, p_text text) returns boolean
language plpgsql set search_path from current as $$
begin
    perform no_mirroring();
    perform from attempt a where a.job = p_job and a.ended_at is null for update;
    perform lock_jobs(p_job || array(select d.job from dependents_of(array[p_job]) d));
    perform from jobqueue q where q.jq_pk = p_job and q.jq_endtime is null for update;
    if not found then
        return exists (select from jobqueue q where q.jq_pk = p_job);
    end if;
    if not exists (select from fail_jobs(array[p_job], array[p_text], array[p_text])) then  -- claimed, or not ours
        update jobqueue q
        set jq_endtime = now(), jq_end_bits = q.jq_end_bits | 2, jq_endtext = p_text, jq_schedinfo = null
        where q.jq_pk = p_job;
        perform fail_dependents(p_job);
    end if;
    perform pg_notify('scheduler_bridge_orders', p_job::text);
    return true;
end
$$;

-- Pauses a job: one that waits never starts, one that runs is stopped where it is and keeps its slot.
create function pause_job(p_job int) returns boolean
language plpgsql set search_path from current as $$
begin
    perform from attempt a where a.job = p_job and a.ended_at is null for update;
    perform lock_jobs(array[p_job]);
    update jobqueue q
    set jq_starttime = coalesce(q.jq_starttime, '9999-12-31'), jq_endtext = 'Paused'
    where q.jq_pk = p_job and q.jq_endtime is null and q.jq_end_bits < 2;
    if found then
        perform pg_notify('scheduler_bridge_orders', p_job::text);
        return true;
    end if;
    return exists (select from jobqueue q where q.jq_pk = p_job);
end
$$;

-- Lets a paused job go on; one that is not paused is left alone. Returns the stream to look at again; null: there is no such
-- row.
create function restart_job(p_job int) returns int
language plpgsql set search_path from current as $$
begin
    perform from attempt a where a.job = p_job and a.ended_at is null for update;
    perform lock_jobs(array[p_job]);
    update jobqueue q
    set jq_starttime = case when q.jq_starttime < '9999-12-31' then q.jq_starttime end, jq_endtext = 'Restarted'
    where q.jq_pk = p_job and q.jq_endtime is null and q.jq_endtext = 'Paused';
    if found then
        update open_job o set obstacle = null, subject = null, proposed_at = null
        where o.job = p_job and o.worker is null and o.obstacle = 'paused';
        perform pg_notify('scheduler_bridge_orders', p_job::text);
    end if;
    return (select q.jq_job_fk from jobqueue q where q.jq_pk = p_job);
end
$$;

-- Sets the priority of the stream that a job belongs to, of its waiting and running jobs at once.
create function set_priority(p_job int, p_priority int) returns boolean
language plpgsql set search_path from current as $$
declare
    v_stream int;
begin
    select q.jq_job_fk into v_stream from jobqueue q where q.jq_pk = p_job;
    if not found then
        return false;
    end if;
    perform lock_jobs(array(select o.job from open_job o where o.stream = v_stream));
    update job j set job_priority = p_priority where j.job_pk = v_stream;
    update open_job o set priority = p_priority where o.stream = v_stream;
    perform pg_notify('scheduler_bridge_orders', p_job::text);
    return true;
end
$$;

-- Makes a running agent as talkative as ordered.
create function set_verbosity(p_job int, p_level int) returns boolean
language plpgsql set search_path from current as $$
begin
    update open_job o set verbosity = p_level where o.job = p_job;
    if not found then
        return exists (select from jobqueue q where q.jq_pk = p_job);
    end if;
    perform pg_notify('scheduler_bridge_orders', p_job::text);
    return true;
end
$$;

-- Open jobs as the command `status` lists them; p_job null: all.
create function status_lines(p_job int)
returns table (job int, state text, agent_type text, priority int, running int)
language plpgsql stable set search_path from current as $$
#variable_conflict use_column
begin
    return query
        select o.job,
               case when q.jq_endtext = 'Paused' then 'PAUSED'
                    when o.worker is null or q.jq_starttime is null then 'CHECKEDOUT'
                    when q.jq_endtext = 'Restarted' then 'RESTART'
                    else 'STARTED' end,
               o.agent_type, j.job_priority, (o.worker is not null)::int
        from open_job o join jobqueue q on q.jq_pk = o.job join job j on j.job_pk = o.stream
        where o.job = coalesce(p_job, o.job) and q.jq_endtime is null
        order by o.job;
end
$$;

-- A bridge reports; bridges that have not for a minute are forgotten. Returns how often the configuration was to be read
-- again.
create function register_bridge(p_owner text, p_host text, p_pid int, p_port int) returns int
language plpgsql set search_path from current as $$
begin
    insert into bridge (owner, host, pid, port) values (p_owner, p_host, p_pid, p_port)
    on conflict (owner) do update set port = excluded.port, seen_at = now();
    delete from bridge where seen_at < now() - interval '1 minute';
    return (select reloads from progress);
end
$$;

-- Frees rows that another scheduler has left as started, and paused ones: FOSSology's --reset. Rows that one of our workers
-- holds are left alone. Returns how many.
create function reset_queue() returns bigint
language plpgsql set search_path from current as $$
declare
    v_count bigint;
begin
    perform from progress for update;  -- before open jobs, as the sweep
    with reset as (
        update jobqueue q set jq_starttime = null, jq_endtext = null, jq_schedinfo = null
        where q.jq_endtime is null and (q.jq_starttime is not null or q.jq_endtext is not null)
          and not exists (select from attempt a where a.job = q.jq_pk and a.ended_at is null)
        returning q.jq_pk
    )
    select count(*) into v_count from reset;
    update open_job o set obstacle = null, subject = null, proposed_at = null where o.worker is null and o.obstacle in ('paused', 'taken');
    update progress set settled_through = 0, pending_through = null, pending_xid = null;
    return v_count;
end
$$;

-- Drains a host; false: nobody knows it.
create function drain_host(p_host text, p_deadline interval) returns boolean
language plpgsql set search_path from current as $$
begin
    update host set draining = true, drain_until = now() + p_deadline where name = p_host;
    if found then
        perform pg_notify('scheduler_bridge_orders', '');
        return true;
    end if;
    return false;
end
$$;

-- Every bridge and every worker reads its configuration again.
create function reload() returns void
language sql set search_path from current as $$
    update progress set reloads = reloads + 1;
    select pg_notify('scheduler_bridge_orders', '');
    select pg_notify('scheduler_bridge', '');
$$;
