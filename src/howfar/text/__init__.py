"""Text: the byte tokenizer, tokens against characters, corpora, gold segmentations and token classes."""
