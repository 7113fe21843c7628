"""The pool of text: where documents come from, how a sub-pool may differ, and the tokens that proxies train on."""
