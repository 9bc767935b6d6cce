"""The shipped agents: programs for workers, each usable from a shell too: `python -m workers.agents.NAME`.

Nothing in the project imports them. `helper` is for agents of one's own.
"""
