-- What people order and ask through the command port. The decisions live in the functions of migrations/.

-- kill --
-- Ends a row and what depends on it.
select scheduler_bridge.kill_job(%(job)s, %(text)s)

-- pause --
-- Stops a job where it is, or before it starts.
select scheduler_bridge.pause_job(%(job)s)

-- restart --
-- Lets a paused job go on; its stream.
select scheduler_bridge.restart_job(%(job)s)

-- set_priority --
-- Of the stream that a job belongs to.
select scheduler_bridge.set_priority(%(job)s, %(priority)s)

-- set_verbosity --
-- Of a running agent.
select scheduler_bridge.set_verbosity(%(job)s, %(level)s)

-- jobs --
-- Open jobs, or one.
select job, state, agent_type, priority, running from scheduler_bridge.status_lines(%(job)s::int)

-- agents --
-- Agents that work at a job.
select coalesce(a.agent_pid, 0), coalesce(a.host, ''), a.agent_type,
       case when q.jq_endtext = 'Paused' then 'PAUSED' when a.started_at is null then 'SPAWNED' else 'RUNNING' end,
       coalesce(a.renewed_at, a.claimed_at)
from scheduler_bridge.attempt a join jobqueue q on q.jq_pk = a.job
where a.job = %(job)s and a.ended_at is null

-- hosts --
-- Hosts that are configured or have reported lately, with their slots and agents.
select h.name, h.slots, (select count(*) from scheduler_bridge.attempt a where a.host = h.name and a.ended_at is null)
from scheduler_bridge.host h
where h.seen_at = '-infinity' or h.name in (select name from scheduler_bridge.live_host)
order by h.name

-- agent_types --
-- Agent types that some host can run now.
select distinct a.agent_type
from scheduler_bridge.host_agent_type a join scheduler_bridge.live_host h on h.name = a.host
order by 1

-- reload --
-- Everybody reads the configuration again.
select scheduler_bridge.reload()

-- register_bridge --
-- A bridge runs, and holds this port or none; how often the configuration was to be read again.
select scheduler_bridge.register_bridge(%(owner)s, %(host)s, %(pid)s, %(port)s::int)

-- forget_bridge --
-- A bridge has ended.
delete from scheduler_bridge.bridge where owner = %(owner)s returning 1

-- port_holder --
-- The bridge that holds this port on a host.
select owner from scheduler_bridge.bridge
where host = %(host)s and port = %(port)s and seen_at > now() - interval '1 minute' and owner <> %(owner)s
