"""Measurements of what `transfer` promises about speed and memory: see README.md."""
