-- The queue tables of FOSSology, column for column, for a database that has none
-- (`scheduler-bridge migrate --create-queue`). An existing table is left as it is.
create table if not exists public.job (
    job_pk serial primary key,
    job_queued timestamptz default now(),
    job_priority int not null default 0,
    job_email_notify text,
    job_name text,
    job_upload_fk int,
    job_folder_fk int,
    job_user_fk int,
    job_group_fk int
);

create table if not exists public.jobqueue (
    jq_pk serial primary key,
    jq_job_fk int not null references public.job (job_pk) on delete cascade,
    jq_type text not null,
    jq_args text,
    jq_starttime timestamptz,
    jq_endtime timestamptz,
    jq_endtext text,
    jq_end_bits smallint not null default 0,
    jq_schedinfo text,
    jq_itemsprocessed int default 0,
    jq_log text,
    jq_runonpfile text,
    jq_host text,
    jq_cmd_args text
);

create table if not exists public.jobdepends (
    jdep_jq_fk int references public.jobqueue (jq_pk) on delete cascade,
    jdep_jq_depends_fk int references public.jobqueue (jq_pk) on delete cascade
);

create index if not exists jobdepends_jq_fk_idx on public.jobdepends (jdep_jq_fk);
-- Ours, not FOSSology's: without them deleting a stream scans the whole table once a row
-- (fossology-baseline: 300,000 rows had not gone after 10 minutes).
create index if not exists jobdepends_depends_fk_idx on public.jobdepends (jdep_jq_depends_fk);
create index if not exists jobqueue_job_fk_idx on public.jobqueue (jq_job_fk);
