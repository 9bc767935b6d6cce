"""The yardstick, `python -m tests.bench`: a script that measures and prints; nothing here is a test."""
