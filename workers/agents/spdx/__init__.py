"""Licences in bytes: tags, texts, notices and references, named by SPDX identifiers."""
