-- What the shipped agents find. Everything but the cache belongs to a job stream and goes with it: `forget_scan`.
-- An agent replaces what it has found in a stream by one transaction; see workers/agents/results.py.

-- What unpack was asked to look at.
create table scan_input (
    stream int not null,
    path text not null,
    primary key (stream, path)
);

-- Content and what else has a name: written by unpack.
create table scan_file (
    stream int not null,                           -- job.job_pk
    file int not null,                             -- numbered from 1 within the stream
    path text not null,                            -- as people know it; a member of an archive: archive!/member
    location bytea,                                -- where the bytes are, if not at `path`
    kind text not null check (kind in ('file', 'archive', 'link', 'special')),
    size bigint not null,
    modified_ns bigint,                            -- of the place with the bytes, to notice a change
    sha256 bytea,                                  -- null: has no content of its own (link, special) or is unreadable
    primary key (stream, file)
);

-- Everything that was not, or not completely, looked at, and why.
create table scan_note (
    stream int not null,
    agent text not null,
    path text not null,
    note text not null
);
create index scan_note_stream on scan_note (stream);

-- One row per agent that has finished in a stream.
create table scan_run (
    stream int not null,
    agent text not null,
    version text not null,
    files int not null,                            -- looked at, cached ones included
    cached int not null,                           -- of them: known from before
    finished_at timestamptz not null default now(),
    primary key (stream, agent)
);

create table scan_mimetype (
    stream int not null,
    file int not null,
    mimetype text not null
);
create index scan_mimetype_stream on scan_mimetype (stream, file);

create table scan_license (
    stream int not null,
    file int not null,
    license text not null,                         -- SPDX identifier or expression
    kind text not null check (kind in ('tag', 'text', 'notice', 'reference')),
    line int not null,                             -- from 1; 0: binary content
    score int not null                             -- percent of a text's phrases; below 100: changed or cut
);
create index scan_license_stream on scan_license (stream, file);

create table scan_copyright (
    stream int not null,
    file int not null,
    holder text not null,
    years text not null,                           -- '2001', '2001-2020', '2001-present' or empty
    statement text not null,
    line int not null                              -- from 1; 0: binary content
);
create index scan_copyright_stream on scan_copyright (stream, file);

create table scan_report (
    stream int not null,
    format text not null check (format in ('markdown', 'json')),
    text text not null,
    created_at timestamptz not null default now(),
    primary key (stream, format)
);

-- What an agent has found in content, whoever's it was: no content is scanned twice by one version of an agent.
create table scan_cache (
    sha256 bytea not null,
    agent text not null,
    version text not null,
    variant text not null default '',              -- the file's name for agents that look at it too
    findings jsonb not null,                       -- list of lists in the order of the agent's columns
    used_on date not null default current_date,
    primary key (sha256, agent, version, variant)
);
create index scan_cache_used on scan_cache (used_on);

-- Deletes all that was found in a stream; the cache stays.
create function forget_scan(p_stream int) returns void
language sql set search_path from current as $$
    delete from scan_input where stream = p_stream;
    delete from scan_file where stream = p_stream;
    delete from scan_note where stream = p_stream;
    delete from scan_run where stream = p_stream;
    delete from scan_mimetype where stream = p_stream;
    delete from scan_license where stream = p_stream;
    delete from scan_copyright where stream = p_stream;
    delete from scan_report where stream = p_stream;
$$;

-- Deletes cached findings that no stream has used for so many days; returns how many.
create function trim_scan_cache(p_days int) returns bigint
language sql set search_path from current as $$
    with gone as (delete from scan_cache where used_on < current_date - p_days returning 1)
    select count(*) from gone
$$;
