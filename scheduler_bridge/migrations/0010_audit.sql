-- What the auditor has found last, and what it must remember between two looks (scheduler_bridge/audit).
create table audit (
    only_row boolean primary key default true check (only_row),
    at timestamptz,                                -- of `result`; null: housekeeping has not audited yet
    result jsonb,
    suspects jsonb not null default '{}',          -- what has no time of its own: name -> id -> first seen
    slice int not null default 0                   -- jq_pk up to which older rows of jobqueue have been looked at
);

insert into audit default values;

-- A limit that is lowered while more runs is no fault; a claim after that is. So the rows tell since when a limit holds.
alter table host add limited_at timestamptz not null default now();
alter table agent_type add limited_at timestamptz not null default now();

create function limit_changed() returns trigger
language plpgsql set search_path from current as $$
begin
    new.limited_at := now();
    return new;
end
$$;

create trigger limit_changed before update on host
    for each row when (old.slots is distinct from new.slots) execute function limit_changed();
create trigger limit_changed before update on agent_type
    for each row when (old.maximum is distinct from new.maximum or old.exclusive <> new.exclusive)
    execute function limit_changed();
