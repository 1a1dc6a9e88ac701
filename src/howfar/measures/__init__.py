"""Measures: a question each, a function from a model and texts to a table, and a `Measure` that declares both.

Arguments that mean the same everywhere are described here:

- `texts`: texts, or a corpus, whose held-out documents are read (and whose training part is counted).
- `tokenizer`: the model's; if None, `howfar.tokenizer_of` finds it.
- `num_documents`: the most documents, spread evenly over the texts, so that every source has its share. Where windows
  are read, there is one from each document, at a random place.
- `batch_size`: how many items the model reads at a time.
- `seed`: determines everything random: places, samples, permutations and the resampling behind the intervals.
- `progress`: called with how much is done and how much there is.
"""
