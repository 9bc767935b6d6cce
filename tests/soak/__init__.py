"""Soak: hours of ordinary load, and whether anything grows."""
