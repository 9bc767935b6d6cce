"""Decisions about order and admission; pure: values in, values out."""
