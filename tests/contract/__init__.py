"""Promises that several implementations keep."""
