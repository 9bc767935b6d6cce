"""An agent process and the conversation with it; knows no database and no Celery."""
