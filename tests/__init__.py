"""Tests: unit (nothing needed), contract, integration (real servers), acceptance (the Procfile)."""
