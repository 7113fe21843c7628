"""TRL: the script of ``datasets`` with the rows as an ``SFTTrainer`` wants them, and a function that makes the trainer."""

from __future__ import annotations

from pathlib import Path

from causalmix_nb.decide.export.formats.datasets_script import MAIN, script
from causalmix_nb.decide.export.formats.format import FORMATS, Format, Written
from causalmix_nb.decide.export.plan import ExportPlan

TRAINER = '''

def trainer(model, **config):
    """An SFTTrainer over the mixture; config goes to SFTConfig. One epoch: what is to be read again is in it twice."""
    from trl import SFTConfig, SFTTrainer

    options = {"num_train_epochs": 1, "max_length": CUT, **config}
    return SFTTrainer(model=model, args=SFTConfig(**options), train_dataset=mixed)
'''


def write(plan: ExportPlan, folder: Path) -> Written:
    """The script, and ``trainer(model, **config)``."""
    text = script(plan, normal=True)
    if "\nCUT = " not in text:
        text += f"\nCUT = {plan.max_length!r}  # tokens of an example; None cuts nothing\n"
    return Written(text.replace(MAIN, TRAINER + MAIN) if MAIN in text else text + TRAINER)


FORMATS.register(Format("trl", "the same for SFTTrainer", write))
