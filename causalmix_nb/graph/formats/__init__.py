"""The formats in which people write graphs; each registers itself."""
