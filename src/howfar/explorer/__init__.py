"""The explorer: a web page where you type a text and watch its spacing.

Read in this order: `passages`, `what_if` and `alternatives` (questions to a model), `inference` (one queue to it
for all visitors), `live` (the picture that follows the text), `view` (what a link restores), `parts` and
`panels` (the page's contents), `server`. `notebook` is the page itself: a marimo notebook without logic.
"""
