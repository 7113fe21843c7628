"""Do proxies of other sizes and learning rates rank mixtures alike? Spearman between 0.15M and 1M parameters, and between two learning rates.

The same mixtures of the demo pool under every setting, at a fixed budget, data orders of their own each time; the smaller proxy twice, which is
what chance allows. About 15 minutes on two quiet cores as it stands.

    python tests/benchmarks/proxy_sizes.py --mixtures 64 --tokens 60000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from causalmix_nb import demo_pool
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.study.study import Study


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mixtures", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=60_000, help="of each run")
    parser.add_argument("--base", type=int, default=1_000_000, help="tokens of the base proxies")
    parser.add_argument("--small", type=int, nargs=2, default=(72, 2), metavar=("WIDTH", "LAYERS"))
    parser.add_argument("--large", type=int, default=1_000_000, help="parameters of the larger proxy")
    parser.add_argument("--slow", type=float, default=1e-4, help="the other learning rate")
    parser.add_argument("--outcomes", nargs="+", default=["bpb", "bpb.code", "bpb.mathematics"])
    options = parser.parse_args()
    config = ProxyConfig(d_model=options.small[0], n_layers=options.small[1], base_tokens=options.base)
    with tempfile.TemporaryDirectory() as temporary:
        study = Study.create(Path(temporary) / "study", demo_pool(), config=config)
        for what, setting in (
            ("size", {"parameters": options.large}),
            ("learning rate", {"learning_rate": options.slow}),
        ):
            for outcome in options.outcomes:
                started = time.perf_counter()
                found = study.transfer(
                    options.mixtures, token_budget=options.tokens, outcome=outcome, **setting
                )
                print(
                    f"{what:>13s}, {outcome}: {found.settings[0]} against {found.settings[1]}: {found.agreement}; "
                    f"the first twice: {found.ceiling}  ({time.perf_counter() - started:.0f} s)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
