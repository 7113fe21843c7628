"""The forms in which trainers read a mixture, one a file; each registers itself."""
