-- Every statement that a mail is written from: a name, one line of prose, SQL. None of them writes.
-- All but `jobs` go by primary keys and FOSSology's own indexes.

-- lacking --
-- Columns that the other statements read and the database lacks.
select w.name || '.' || w.attribute
from (values
    ('job', 'job_pk'), ('job', 'job_name'), ('job', 'job_upload_fk'), ('job', 'job_user_fk'),
    ('jobqueue', 'jq_pk'), ('jobqueue', 'jq_job_fk'), ('jobqueue', 'jq_type'), ('jobqueue', 'jq_endtime'),
    ('jobqueue', 'jq_endtext'), ('jobqueue', 'jq_end_bits'), ('jobqueue', 'jq_log'),
    ('users', 'user_pk'), ('users', 'user_name'), ('users', 'user_email'), ('users', 'email_notify'),
    ('upload', 'upload_pk'), ('upload', 'upload_filename'), ('upload', 'user_fk'),
    ('uploadtree', 'uploadtree_pk'), ('uploadtree', 'parent'), ('uploadtree', 'upload_fk'),
    ('folder', 'folder_pk'), ('folder', 'folder_name'),
    ('foldercontents', 'parent_fk'), ('foldercontents', 'foldercontents_mode'), ('foldercontents', 'child_id'),
    ('sysconfig', 'variablename'), ('sysconfig', 'conf_value')
) as w (name, attribute)
where not exists (
    select from pg_attribute a
    where a.attrelid = to_regclass('public.' || w.name) and a.attname = w.attribute and not a.attisdropped
)

-- stream --
-- A stream with its upload and whoever gets the mail: the uploader, else the user who has queued it.
select current_database() || '.' || (select d.oid from pg_database d where d.datname = current_database()),
    u.upload_pk,
    coalesce(u.upload_filename, j.job_name, ''),
    coalesce(case when uploader.user_pk is null then queuer.user_name else uploader.user_name end, ''),
    case when uploader.user_pk is null then queuer.user_email else uploader.user_email end,
    coalesce(case when uploader.user_pk is null then queuer.email_notify else uploader.email_notify end, '') like 'y%%',
    coalesce((select s.conf_value from public.sysconfig s where s.variablename = 'FOSSologyURL' limit 1), ''),
    now()
from public.job j
left join public.upload u on u.upload_pk = j.job_upload_fk
left join public.users uploader on uploader.user_pk = u.user_fk
left join public.users queuer on queuer.user_pk = j.job_user_fk
where j.job_pk = %(stream)s::int

-- item --
-- The root of an upload. Gathered before the smallest is taken: else every item of other uploads may be read in order.
with root as materialized (
    select t.uploadtree_pk from public.uploadtree t where t.upload_fk = %(upload)s::int and t.parent is null
)
select min(r.uploadtree_pk) from root r

-- folders --
-- Names of the folder that holds an upload and of those above it, the uppermost first. Bit 0 of the mode: the child
-- is a folder; bit 1: an upload. Where it is in several folders, the oldest counts; folders in a circle end it.
with recursive held as (
    (select c.parent_fk as folder, 1 as height, array[c.parent_fk] as seen
     from public.foldercontents c
     where c.child_id = %(upload)s::int and c.foldercontents_mode & 2 <> 0
     order by c.parent_fk limit 1)
    union all
    (select above.parent_fk, h.height + 1, h.seen || above.parent_fk
     from held h
     cross join lateral (
        select c.parent_fk from public.foldercontents c
        where c.child_id = h.folder and c.foldercontents_mode & 1 <> 0
        order by c.parent_fk limit 1
     ) above
     where above.parent_fk <> all (h.seen) and h.height < 50)
)
select f.folder_name from held h join public.folder f on f.folder_pk = h.folder order by h.height desc

-- jobs --
-- Jobs of a stream, failed ones and then the first of the others, with the number of all, the last end and the job
-- that ended last. `jobqueue` has no index by stream: it is read from `since` on.
select q.jq_pk, q.jq_type, q.jq_end_bits, coalesce(q.jq_endtext, ''), q.jq_log,
    count(*) over (),
    max(q.jq_endtime) over (),
    first_value(q.jq_pk) over (order by q.jq_endtime desc nulls last, q.jq_pk desc)
from public.jobqueue q
where q.jq_job_fk = %(stream)s::int and q.jq_pk >= %(since)s::int and q.jq_type <> 'command'
order by q.jq_end_bits & 2 desc, q.jq_pk
limit %(most)s::int

-- smtp --
-- How mail is sent.
select s.variablename, s.conf_value from public.sysconfig s
where s.variablename like 'SMTP%%' and s.conf_value is not null
