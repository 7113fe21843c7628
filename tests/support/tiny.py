"""A proxy and texts small enough to train on in a second."""

from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig

TINY = ProxyConfig(d_model=16, n_layers=1, n_heads=2, context=32, batch=4, base_tokens=4_000)


def sentences(word: str, n: int = 60) -> list[str]:
    return [f"The {word} number {i} is {word}ish, and so is {word} {i * 7 % 13}." for i in range(n)]
