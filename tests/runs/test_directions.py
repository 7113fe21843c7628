"""Which way is better is read from whole words of a name, in one place."""

import pytest

from causalmix_nb.runs.directions import direction_of

LOWER = (
    """wer cer ter mse mae rmse error error_rate err loss nll perplexity ppl bpb bits_per_byte cross_entropy brier
    brier_score val_loss valLoss evalBPB eval/loss/math loss2 WER metric/the_pile_arxiv_val_loss word_perplexity bits-per-byte
    crossEntropyLoss bpb.mathematics negative_log_likelihood 1-acc eval/1-acc 1_minus_acc valloss testPPL lossval logppl
    eval.1-f1 -accuracy false_positive_rate false_negative_rate fpr regret loss_on_negatives Fehlerrate perte""".split()
    + ["1 - accuracy", "MSE (val)"]
)
HIGHER = (
    """applied_math_acc supply_chain_acc glossary_f1 orbits_acc filtered_acc letter_acc character_accuracy acc_norm pass@1
    gsm8k.exact_match mmluAcc R2 humaneval_pass1 rougeL error_detection_acc neg_mean_squared_error reward_per_token
    1-error -loss testacc precision_negative true_negative_rate Genauigkeit f1_neg""".split()
    + ["1-shot acc", "1 - wer"]
)
SILENT = """score7 quiz avg mean humaneval loss_reduction glossary orbits supply bitstream negative_f1 flossy
    bbh_salient_translation_error_detection error_correction toxicity_classification 1-shot""".split()


@pytest.mark.parametrize("names, lower", [(LOWER, True), (HIGHER, False), (SILENT, None)])
def test_the_words_of_a_name_say_which_way_is_better(names, lower):
    assert {name: direction_of(name) for name in names} == dict.fromkeys(names, lower)
