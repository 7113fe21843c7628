"""Do the trainers themselves draw what an export says? Their own readers, on files made here: books 100 times as long as chats.

    PYTHONPATH=. python tests/benchmarks/export_trainers.py llamafactory     (needs llamafactory)
    PYTHONPATH=. python tests/benchmarks/export_trainers.py olmocore         (needs ai2-olmo-core)
    PYTHONPATH=. python tests/benchmarks/export_trainers.py trl              (needs trl)

Each trainer wants versions of its own, so give each an environment of its own. Prints, per domain, the share of the tokens
recommended and drawn, and fails where they are further than one hundredth apart.
"""

import json
import runpy
import sys
import tempfile
from pathlib import Path

import numpy as np

from causalmix_nb.data.pool import Pool
from causalmix_nb.decide.export.export import export

SHARES = {"books": 0.5, "chats": 0.3, "code": 0.2}
BUDGET = 8_000_000


def files(folder: Path) -> Pool:
    """books.jsonl, chats.jsonl (questions and answers) and code.jsonl in a folder, as a pool."""
    rng = np.random.default_rng(0)
    for name, n, mean in (("books", 300, 20_000), ("chats", 9000, 200), ("code", 1500, 1500)):
        sizes = np.maximum(20, rng.lognormal(np.log(mean), 0.5, n)).astype(int)
        rows = (
            {"question": "q" * (size // 2), "answer": f"{name}:" + "x" * (size // 2)} for size in sizes.tolist()
        )  # fmt: skip
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return Pool.from_files([folder / f"{name}.jsonl" for name in SHARES])


def llamafactory(folder: Path, pool: Pool) -> dict[str, int]:
    """Its arguments, its parser and its loader."""
    from llamafactory.data.loader import _get_merged_dataset
    from llamafactory.hparams import DataArguments, ModelArguments
    from omegaconf import OmegaConf
    from transformers import TrainingArguments

    path = export(SHARES, folder / "mix.yaml", "llamafactory", pool=pool, token_budget=BUDGET).path
    given = OmegaConf.to_container(OmegaConf.load(path))
    options = {name: given[name] for name in ("dataset_dir", "dataset", "mix_strategy")}
    data, training = DataArguments(**options), TrainingArguments(output_dir=str(folder / "out"))
    np.random.seed(0)
    rows = _get_merged_dataset(
        data.dataset, ModelArguments(model_name_or_path="none"), data, training, stage="sft"
    )
    return counted((row["_prompt"][-1]["content"], row["_response"][0]["content"]) for row in rows)


def olmocore(folder: Path, pool: Pool) -> dict[str, int]:
    """Its source mixture, built over token files of one 16-bit number a byte."""
    from olmo_core.data.source_mixture import SourceMixtureDatasetConfig

    paths = {}
    for name, domain in pool.items():
        tokens = sum(len(p) + len(t) for p, t in zip(domain.documents["prompt"], domain.documents["text"]))
        paths[name] = str(folder / f"{name}.npy")
        np.zeros(tokens, np.uint16).tofile(paths[name])
    path = export(SHARES, folder / "mix.yaml", "olmocore", sources=paths, pool=pool, token_budget=BUDGET).path
    built = SourceMixtureDatasetConfig.from_yaml(path).build(npdtype=np.uint16, sequence_length=2048)
    return {source.name: sum(part.tokens for part in source.path_tokens) for source in built.sources}


def trl(folder: Path, pool: Pool) -> dict[str, int]:
    """The script, and the rows that an SFTTrainer is given by it."""
    import inspect

    from trl import SFTConfig, SFTTrainer

    path = export(SHARES, folder / "mix.py", "trl", pool=pool, token_budget=BUDGET).path
    scope = runpy.run_path(str(path))
    options = set(inspect.signature(SFTConfig).parameters)
    assert {"num_train_epochs", "max_length"} <= options
    assert {"model", "args", "train_dataset"} <= set(inspect.signature(SFTTrainer).parameters)
    return counted((row["prompt"], row["completion"]) for row in scope["mixed"])


def counted(pairs) -> dict[str, int]:
    """Domain -> bytes, by the mark that its answers begin with."""
    found: dict[str, int] = {}
    for prompt, text in pairs:
        name = text.partition(":")[0]
        found[name] = found.get(name, 0) + len(prompt) + len(text)
    return found


def main(which: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = {"llamafactory": llamafactory, "olmocore": olmocore, "trl": trl}[which](folder, files(folder))
    total = sum(drawn.values())
    for domain, share in SHARES.items():
        print(f"{which}: {domain} recommended {share:.4f}, drawn {drawn[domain] / total:.4f}")
    print(f"{which}: budget {BUDGET:,}, drawn {total:,}")
    assert all(abs(drawn[domain] / total - share) < 0.01 for domain, share in SHARES.items())


if __name__ == "__main__":
    main(sys.argv[1])
