"""Whether lower or higher is better, by the name of an outcome: the one list that every reader of results asks.

Names are read by whole words, split at signs and at changes of case: ``val_loss``, ``valLoss`` and ``eval/loss`` are losses, while
``glossary_f1`` and ``orbits_acc`` hold neither "loss" nor "bits". Where several words speak, the last one does, since names end in what is
measured: ``error_detection_acc`` is an accuracy. A name that says nothing (``score7``) is answered with None, and a reader says so.
"""

from __future__ import annotations

import re

LOWER = frozenset(
    """loss losses nll perplexity perplexities ppl ppx bpb bpc bpt bpw bits nats crossentropy xent logloss brier
    err errs error errors wer cer ter mer eer mse mae rmse nmse nrmse msle rmsle mape smape ece
    kl kld kldiv divergence fid fad hallucination hallucinations toxicity latency""".split()
)
HIGHER = frozenset(
    """acc accs accuracy accuracies f1 em exact match bleu sacrebleu rouge rouge1 rouge2 rougel rougelsum chrf meteor bertscore
    auc auroc auprc roc mcc r2 pass passed precision recall specificity sensitivity win wins winrate reward rewards success solved
    correct ndcg mrr map iou miou kappa spearman pearson pearsonr likelihood loglikelihood logprob logprobs elo""".split()
)
FLIPS = frozenset(
    {"neg", "negative", "negated", "minus"}
)  # sklearn's neg_mean_squared_error, negative log likelihood
UNDOES = frozenset(
    "reduction improvement improved decrease drop delta diff difference gap change".split()
)  # a loss reduction is no loss, and a drop no accuracy
_WORD = re.compile(r"[^\W_]+")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")


def words_of(name: str) -> list[str]:
    """Words of a name in lower case, split at signs and at changes of case; ``f1`` and ``r2`` stay whole.

    >>> words_of("eval/valLoss.2"), words_of("glossary_F1")
    (['eval', 'val', 'loss', '2'], ['glossary', 'f1'])
    """
    found: list[str] = []
    for word in _WORD.findall(str(name)):
        whole = word.casefold()
        pieces = [piece.casefold() for piece in _PIECE.findall(word)]
        found += [whole] if whole in LOWER | HIGHER or not pieces else pieces
    return found


def direction_of(name: str) -> bool | None:
    """True where lower is better by the words of a name, False where higher is, None where the name says nothing.

    >>> [direction_of(name) for name in ("val_loss", "bpb.code", "mmlu.acc_norm", "applied_math_acc", "score7")]
    [True, True, False, False, None]
    >>> direction_of("neg_mean_squared_error"), direction_of("negative_log_likelihood"), direction_of("loss_reduction")
    (False, True, None)
    """
    words = words_of(name)
    if not FLIPS.isdisjoint(words):
        rest = direction_of(" ".join(word for word in words if word not in FLIPS))
        return None if rest is None else not rest
    if ("cross", "entropy") in zip(words, words[1:]):
        words = [word if word != "entropy" else "crossentropy" for word in words]
    for word in reversed(words):
        if word in UNDOES:
            return None
        if word in LOWER:
            return True
        if word in HIGHER:
            return False
    return None


def lower_is_better(name: str) -> bool:
    """Whether lower is better; a name that says nothing counts as higher is better.

    >>> lower_is_better("perplexity"), lower_is_better("quiz")
    (True, False)
    """
    return direction_of(name) is True
