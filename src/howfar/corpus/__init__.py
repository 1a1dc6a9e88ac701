"""Corpora: sources, building, windows, held-out documents."""
