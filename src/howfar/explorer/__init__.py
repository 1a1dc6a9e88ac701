"""The explorer: a web page where one types a text and sees the spacing move.

Reads in this order: `passages`, `what_if` and `alternatives` (what is asked of a model), `inference` (one queue to it
for all visitors), `live` (the picture that follows what is typed), `view` (what a link restores), `parts` and
`panels` (what the page is made of), `server`. `notebook` is the page itself: a marimo notebook without logic.
"""
