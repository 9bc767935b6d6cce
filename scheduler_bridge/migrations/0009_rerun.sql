-- Jobs of a stream that have failed, and all that failed with them in whatever stream, wait again as if never started. Left out
-- are those whose agent is still being ended, and what depends on them: it would fail again. Returns how many do and are.
create function rerun_failed(p_stream int, out again int, out left_out int)
language plpgsql set search_path from current as $$
declare
    v_jobs int[];
begin
    perform from progress for update;  -- as whoever mirrors: nobody closes a stream meanwhile
    perform pg_advisory_xact_lock(7319, 0);  -- as `mirror`, which follows
    with recursive failed (job) as (
        select q.jq_pk from jobqueue q where q.jq_job_fk = p_stream and q.jq_endtime is not null and q.jq_end_bits >= 2
        union
        select q.jq_pk
        from failed f join jobdepends d on d.jdep_jq_depends_fk = f.job join jobqueue q on q.jq_pk = d.jdep_jq_fk
        where q.jq_endtime is not null and q.jq_end_bits >= 2
    ), held (job) as (
        select f.job from failed f join open_job o on o.job = f.job
        union
        select f.job from held h join jobdepends d on d.jdep_jq_depends_fk = h.job join failed f on f.job = d.jdep_jq_fk
    ), freed as (
        update jobqueue q
        set jq_starttime = null, jq_endtime = null, jq_endtext = null, jq_end_bits = 0, jq_schedinfo = null,
            jq_itemsprocessed = 0
        from failed where q.jq_pk = failed.job and failed.job not in (select held.job from held)
        returning q.jq_pk
    )
    select array(select freed.jq_pk from freed), (select count(*) from held) into v_jobs, left_out;
    again := cardinality(v_jobs);
    if again = 0 then
        return;
    end if;
    perform mirror((select min(j) from unnest(v_jobs) j) - 1, (select max(j) from unnest(v_jobs) j));
    perform pg_notify('scheduler_bridge', '');
end
$$;
