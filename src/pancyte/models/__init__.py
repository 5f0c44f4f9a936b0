"""Models: tokenizer, network and card in one folder."""
