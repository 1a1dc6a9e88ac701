"""Text: the byte tokenizer, tokens and characters, token classes, gold segmentations."""
