"""Text: the byte tokenizer, tokens against characters, token classes and gold segmentations."""
