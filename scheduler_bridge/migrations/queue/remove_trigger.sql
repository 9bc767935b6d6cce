drop trigger if exists scheduler_bridge_announce on public.jobqueue;
drop function if exists scheduler_bridge.announce_jobs();
