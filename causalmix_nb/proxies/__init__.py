"""What is trained: small models of our own or of Hugging Face, and what a trained one scores."""
