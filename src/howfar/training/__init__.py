"""Training: recipe -> corpus -> Transformers' Trainer -> checkpoint."""
