"""`python -m scheduler_bridge` is `scheduler-bridge`."""

from __future__ import annotations

from scheduler_bridge.cli import main

if __name__ == "__main__":
    main(prog_name="scheduler-bridge")
