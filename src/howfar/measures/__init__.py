"""Measures: what a model's increments mean, each as a polars table with intervals."""
