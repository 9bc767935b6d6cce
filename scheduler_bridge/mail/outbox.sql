-- Mails that wait.

-- is_due --
-- Whether any is due.
select exists (select from scheduler_bridge.mail where due_at <= now())

-- reloads --
-- How often the configuration was to be read again.
select reloads from scheduler_bridge.progress

-- take --
-- One that is due, now ours for a while.
select id, stream, ending, tries from scheduler_bridge.take_mail(make_interval(secs => %(lease)s))

-- about --
-- What is known of it beside the queue's rows.
select message, since from scheduler_bridge.mail where id = %(id)s

-- sent --
-- It is on its way.
update scheduler_bridge.mail set due_at = null, reason = 'sent' where id = %(id)s returning 1

-- failed --
-- It is due again later, or never, unless somebody else has it by now.
update scheduler_bridge.mail set due_at = now() + make_interval(secs => %(seconds)s::float), reason = %(reason)s
where id = %(id)s and tries = %(tries)s returning 1
