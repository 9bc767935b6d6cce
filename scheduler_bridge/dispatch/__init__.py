"""From fragments to messages: the only place of the bridge that knows Celery."""
