-- What scheduler-bridge itself remembers. Dropping the schema returns the database as it was.
-- Open rows of `jobqueue` and their unsatisfied dependencies are mirrored here, indexed both ways, so that no
-- statement scans the foreign tables' history; the claim still checks the real rows.

-- Streams that have open jobs.
create table stream (
    stream int primary key,                        -- job.job_pk
    owner text,                                    -- bridge that proposes it now
    leased_by int,                                 -- process of the database that serves it
    leased_until timestamptz not null default '-infinity'
);

-- Open jobs. WAITING: no proposed_at; PROPOSED: proposed_at; CLAIMED or STARTED: worker.
create table open_job (
    job int primary key,                           -- jobqueue.jq_pk
    stream int not null,                           -- jobqueue.jq_job_fk
    agent_type text not null,
    host text,                                     -- the only host it may run on; null: any
    priority int not null,                         -- job.job_priority, higher first
    ready boolean not null default false,          -- no unsatisfied dependency when last looked at
    follower int,                                  -- next job of a linear run
    proposed_at timestamptz,                       -- a hint is out since
    proposals int not null default 0,              -- hints since the last claim, for the sweep's backoff
    gave_way boolean not null default false,       -- its hint was used for a job that goes before it
    worker text,                                   -- owner of the claim
    epoch int not null default 0,                  -- number of the last attempt
    before int not null default 0,                 -- ... and of the last one before the row was queued (again)
    verbosity int,                                 -- ordered for its running agent; null: not ordered
    obstacle text,                                 -- why the last claim was refused ...
    subject text,                                  -- ... and by what
    refused_at timestamptz,
    not_before timestamptz                         -- its last attempt failed: the next waits until then
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

create index open_job_stream on open_job (stream);
create index open_job_startable on open_job (stream, priority desc, job)
    where ready and proposed_at is null and worker is null and coalesce(obstacle, 'exclusive_next') = 'exclusive_next';
create index open_job_outstanding on open_job (stream, proposed_at) where proposed_at is not null and worker is null;
create index open_job_urgent on open_job (priority desc, proposed_at, job) where proposed_at is not null and worker is null;
create index open_job_gave_way on open_job (priority desc, proposed_at, job) where gave_way and worker is null;
create index open_job_parked on open_job (obstacle, subject, priority desc, job)
    where ready and worker is null and obstacle is not null;

-- Open jobs that the planner has not seen. A table of its own: a row leaves it without touching an index of open_job.
create table unplanned (
    stream int not null,
    job int not null,
    primary key (stream, job)
);

-- Dependencies of open jobs that were unsatisfied when last looked at.
create table edge (
    job int not null,
    needs int not null,                            -- 0: the dependency row names no job
    primary key (job, needs)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

create index edge_needs on edge (needs);

-- A lookup is to expect a row or two. Where ten thousand jobs need the same one, PostgreSQL would expect all of them each time, and
-- read the primary key from end to end for each.
alter table edge alter column job set (n_distinct = -0.5), alter column needs set (n_distinct = -0.5);

-- The ledger: one row per attempt, also for jobs that were failed without one.
create table attempt (
    job int not null,
    epoch int not null,
    stream int not null,
    agent_type text not null,
    worker text,                                   -- null: failed without being claimed
    host text,
    agent_pid int,
    claimed_at timestamptz not null default now(),
    started_at timestamptz,                        -- the agent's first OK
    renewed_at timestamptz,
    expires_at timestamptz,
    items int not null default 0,
    ended_at timestamptz,
    ending text check (ending in ('completed', 'failed', 'returned', 'lost')),
    reason text not null default '',
    email text,                                    -- what the agent wants to be said in the stream's mail
    primary key (job, epoch),
    check (ended_at is not null or expires_at is not null)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

create index attempt_open on attempt (host, agent_type) where ended_at is null;
create index attempt_stream on attempt (stream);
create index attempt_ended on attempt (ended_at) where ended_at is not null;

-- What the agent of an attempt printed: its last 256 KiB.
create table output (
    job int not null,
    epoch int not null,
    tail bytea not null,
    written_at timestamptz not null default now(),
    primary key (job, epoch)
);

create index output_written on output (written_at);

-- Agent types as configured, published by the bridges.
create table agent_type (
    name text primary key,
    maximum int,                                   -- over all hosts; null: no limit
    exclusive boolean not null default false,
    local boolean not null default false,          -- only on the host named localhost
    quiet boolean not null default false,          -- its end sends no mail
    attempts int not null default 10,              -- failed and lost ones of a job, then it is given up
    retry_failed boolean not null default false,   -- whether a job is tried again after an agent's own failure ...
    retry_lost boolean not null default true,      -- ... and after the loss of its worker or host
    backoff float not null default 0,              -- seconds before the second attempt, doubled for each later one
    problem text                                   -- what is wrong with its .conf; null: nothing
);

-- Hosts: configured ones and those whose worker has reported.
create table host (
    name text primary key,
    slots int not null,
    worker text,
    seen_at timestamptz not null default '-infinity',
    draining boolean not null default false,       -- nothing more starts; its worker leaves after its last job
    drain_until timestamptz                        -- ... or returns what still runs then; null: no deadline
);

-- Hosts whose worker has reported lately: it does so every ten seconds.
create view live_host as select * from host where seen_at > now() - interval '30 seconds';

-- What a host can run now.
create table host_agent_type (
    host text not null references host (name) on delete cascade,
    agent_type text not null,
    primary key (agent_type, host)
);

-- Agent types that a host has but cannot run now, and why.
create table host_problem (
    host text not null references host (name) on delete cascade,
    agent_type text not null,
    problem text not null,
    primary key (agent_type, host)
);

-- Bridges that run, with the command port that each holds.
create table bridge (
    owner text primary key,
    host text not null,
    pid int not null,
    port int,                                      -- null: another process holds it
    seen_at timestamptz not null default now()
);

-- Mails about streams that have ended: one for each end. Rows go with the ledger's.
create table mail (
    id int primary key generated always as identity,
    stream int not null,
    ending text not null,                          -- job and attempt that ended last: the same at every try
    message text not null,
    since int not null,                            -- no job of the stream has a lower number
    tries int not null default 0,
    due_at timestamptz default now(),              -- null: sent, or given up
    reason text not null default '',
    made_at timestamptz not null default now(),
    unique (stream, ending)
);

create index mail_due on mail (due_at) where due_at is not null;

-- One row: how far jobqueue has been read, and where the slices of the sweep stand.
create table progress (
    only_row boolean primary key default true check (only_row),
    settled_through int not null default 0,        -- every jq_pk up to here has been seen
    pending_through int,                           -- will be settled when the transactions ...
    pending_xid xid8,                              -- ... older than this have ended
    foreign_slice int not null default 0,          -- jq_pk up to which the running round of slices has looked
    foreign_left int not null default 0,           -- slices to go until a round has passed since the latest change ...
    foreign_changes bigint not null default -1,    -- ... which made jobqueue's count of rows written this one
    foreign_round_at timestamptz not null default '-infinity',  -- when the latest round began, whyever
    mirror_ends int[] not null default '{}',       -- jobs up to which the slices of the running round over the mirror went
    mirror_ends_before int[] not null default '{}',  -- and those of the round before
    swept_at timestamptz not null default '-infinity',
    lenient_until timestamptz not null default '-infinity',  -- until then no lease is taken back for its time alone
    leniences int not null default 0,              -- how often in succession that was moved
    reloads int not null default 0                 -- how often the configuration was to be read again
);

insert into progress default values;
