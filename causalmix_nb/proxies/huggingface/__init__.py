"""A Hugging Face causal language model as the proxy: loading it, training it, in several processes, and what it takes."""
