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
    kl kld kldiv divergence fid fad hallucination hallucinations toxicity latency
    nlpd surprisal regret misclassification misclassifications fpr fnr levenshtein verlust fehler fehlerrate perte erreur""".split()
)
HIGHER = frozenset(
    """acc accs accuracy accuracies f1 em exact match bleu sacrebleu rouge rouge1 rouge2 rougel rougelsum chrf meteor bertscore
    auc auroc auprc roc mcc r2 pass passed precision recall specificity sensitivity win wins winrate reward rewards success solved
    correct ndcg mrr map iou miou kappa spearman pearson pearsonr likelihood loglikelihood logprob logprobs elo tpr tnr
    genauigkeit trefferquote exactitude""".split()
)
FLIPS = frozenset(
    {"neg", "negative", "negated", "minus"}
)  # before a word: sklearn's neg_mean_squared_error, negative log likelihood
CLASSES = frozenset({"neg", "negative"})  # … but a negative F1 may well be that of the negative class
LIKELIHOODS = frozenset("likelihood loglikelihood logprob logprobs".split())
FAULTS = frozenset("error errors err errs toxicity hallucination hallucinations".split())
TASKS = frozenset(
    "detection correction recovery identification analysis classification recognition prediction free".split()
)  # error detection is a task, on which a score says nothing of its own
UNDOES = frozenset(
    "reduction improvement improved decrease drop delta diff difference gap change".split()
)  # a loss reduction is no loss, and a drop no accuracy
_TOLD = "loss|ppl|perplexity|nll|bpb|err|error|acc|accuracy|f1|wer|cer|mse"
_SPLITS = "train|training|val|valid|validation|dev|eval|test|avg|mean|min|max|final|best|log"
_GROWN = re.compile(rf"(?:{_SPLITS})({_TOLD})|({_TOLD})(?:{_SPLITS})")  # valloss, testacc
_LESS = re.compile(
    r"(?:^|[/(]|(?<=[a-z])\.)\s*(?:1|100)\s*[-−–]\s*(?=[^\W\d])|^\s*[-−](?=[^\W\d])"
)  # 1-acc, -loss
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
    >>> direction_of("1-acc"), direction_of("1-shot acc"), direction_of("f1_negative"), direction_of("error_detection")
    (True, False, False, None)
    """
    if less := _LESS.search(str(name)):  # what is left to 1, or taken below 0
        rest = str(name)[less.end() :]
        if not (LOWER | HIGHER).isdisjoint(words_of(rest)[:1]):
            low = direction_of(rest)
            return None if low is None else not low
    words = [(grown[1] or grown[2]) if (grown := _GROWN.fullmatch(word)) else word for word in words_of(name)]
    for truth, lower in (("false", True), ("true", False)):
        if {(truth, "positive"), (truth, "negative")} & set(zip(words, words[1:])):
            return lower
    if ("cross", "entropy") in zip(words, words[1:]):
        words = [word if word != "entropy" else "crossentropy" for word in words]
    for i, word in reversed(list(enumerate(words))):
        if word in UNDOES or (word in FAULTS and words[i + 1 : i + 2] and words[i + 1] in TASKS):
            return None
        if word in LOWER | HIGHER:
            turned = set(words[:i]) & FLIPS
            if turned and turned <= CLASSES and word in HIGHER - LIKELIHOODS:
                return None
            return (word in LOWER) != bool(turned)
    return None


def lower_is_better(name: str) -> bool:
    """Whether lower is better; a name that says nothing counts as higher is better.

    >>> lower_is_better("perplexity"), lower_is_better("quiz")
    (True, False)
    """
    return direction_of(name) is True
