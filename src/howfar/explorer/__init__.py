"""The explorer: the page of `howfar live`, with the model on a server, for any model and with more panels.

Read in this order: `passages`, `what_if` and `alternatives` (questions to a model), `inference` (one queue to it
for all visitors), `question` (what a page may ask), `answers` (the picture) and `panels` (what stands below it),
`pages` and `gate`, `server`. The folder `page` holds what the page has beyond that of `howfar.live`.
"""
