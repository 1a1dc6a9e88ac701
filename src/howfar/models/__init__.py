"""Models: from scratch, grafted, bundled."""
