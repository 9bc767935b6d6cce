-- Wakes the bridges at every insert into jobqueue, whoever inserts. The statement-level trigger costs one
-- notification a statement; its price is an instance-wide lock at the commit of each inserting transaction.
create or replace function scheduler_bridge.announce_jobs() returns trigger
language plpgsql as $$
begin
    perform pg_notify('scheduler_bridge', '');
    return null;
end
$$;

create or replace trigger scheduler_bridge_announce
after insert on public.jobqueue
for each statement execute function scheduler_bridge.announce_jobs();
