"""The chaos harness: random streams, random agents, random faults, and a verdict after each trial."""
