-- Jobs of a stream that have failed, and all that failed with them in whatever stream, wait again as if never started. Left out
-- are those whose agent is still being ended, and what depends on them: it would fail again. Returns how many do and are.
create function rerun_failed(p_stream int, out again int, out left_out int)
language plpgsql set search_path from current set enable_seqscan = off as $$
declare
    v_jobs int[];
    v_held int[];
begin
    perform from progress for update;  -- as whoever mirrors: nobody closes a stream meanwhile
    perform pg_advisory_xact_lock(7319, 0);  -- as `mirror`, which follows
    with recursive failed (job) as (
        select q.jq_pk from jobqueue q where q.jq_job_fk = p_stream and q.jq_endtime is not null and q.jq_end_bits >= 2
        union
        -- A look into the indexes for each, as in `dependents_of`.
        select n.job
        from failed f cross join lateral (
            select d.jdep_jq_fk as job from jobdepends d
            where d.jdep_jq_depends_fk = f.job and (
                select q.jq_endtime is not null and q.jq_end_bits >= 2 from jobqueue q where q.jq_pk = d.jdep_jq_fk
            ) offset 0
        ) n
    )
    select array_agg(failed.job) into v_jobs from failed;
    v_held := array(select o.job from open_job o where o.job = any (v_jobs));
    if v_held <> '{}' then
        v_held := array(
            with recursive held (job) as (
                select unnest(v_held)
                union
                select n.job
                from held h cross join lateral (
                    select d.jdep_jq_fk as job from jobdepends d where d.jdep_jq_depends_fk = h.job offset 0
                ) n
            )
            select held.job from held intersect select unnest(v_jobs)
        );
        v_jobs := array(select unnest(v_jobs) except select unnest(v_held));
    end if;
    left_out := cardinality(v_held);
    again := coalesce(cardinality(v_jobs), 0);
    if again = 0 then
        return;
    end if;
    update jobqueue q
    set jq_starttime = null, jq_endtime = null, jq_endtext = null, jq_end_bits = 0, jq_schedinfo = null, jq_itemsprocessed = 0
    where q.jq_pk = any (v_jobs);
    perform mirror((select min(j) from unnest(v_jobs) j) - 1, (select max(j) from unnest(v_jobs) j));
    perform pg_notify('scheduler_bridge', '');
end
$$;
