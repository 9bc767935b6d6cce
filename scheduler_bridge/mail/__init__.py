"""E-mail at the end of a job stream: facts -> message -> delivery, in the order that the outbox gives."""
