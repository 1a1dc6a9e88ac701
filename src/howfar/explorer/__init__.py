"""The explorer: a web page where one types a text and sees the spacing move.

Reads in this order: `passages` and `what_if` (what is asked of a model), `inference` (one queue to it for all visitors),
`view` (what a link restores), `examples`, `export`, `server`. `notebook` is the page: a marimo notebook without logic.
"""
