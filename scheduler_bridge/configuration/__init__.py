"""Reads a FOSSology configuration folder; what is wrong is a value with file and line, never an exception."""
