"""The bridge service: reads job rows in PostgreSQL, decides, publishes hints to a Celery fleet."""
