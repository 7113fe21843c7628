"""Worlds in which the worth of a domain follows from its description, up to a part of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from causalmix_nb.answers.new_domain import price_domain
from causalmix_nb.methods.mixed_model import MixedModel
from causalmix_nb.runs.store import Runs

FEATURES = ("loss", "style")


class World:
    """Worth of a domain = beta . features + its own part; y = level(state) + worth . centred log shares + noise.

    The last of the K + 1 domains is never mixed. perturbation: how far the features of a domain vary from run to run. pull: how
    far its loss decides its share. drive: how far that loss moves the outcome by itself.
    """

    def __init__(
        self, seed, K=6, n=80, tau=0.0, perturbation=0.5, noise=0.5, pull=0.0, drive=1.0, minimize=False
    ):
        rng = np.random.default_rng([seed, K])
        self.base, self.beta = rng.normal(size=(K + 1, 2)), rng.normal(size=2)
        own = tau * rng.normal(size=K + 1)
        self.phi = self.base[:K] + perturbation * rng.normal(size=(n, K, 2))
        logits = rng.normal(size=(n, K)) + pull * self.phi[:, :, 0]
        self.T = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        z = np.log(self.T + 1e-3)
        self.z = z - z.mean(1, keepdims=True)
        level = 3 * self.phi[:, :, 0].mean(1) + drive * (self.phi - self.base[:K])[:, :, 0] @ self.base[:K, 0]
        self.y = level + ((self.phi @ self.beta + own[:K]) * self.z).sum(1) + noise * rng.normal(size=n)
        self.here = np.median(self.phi, axis=0)
        self.truth = self.base[K] @ self.beta + own[K] - (self.here @ self.beta + own[:K]).mean()
        self.domains, self.minimize = [f"d{k}" for k in range(K)], minimize
        if minimize:
            self.y, self.truth = -self.y, -self.truth
        self.new = dict(zip(FEATURES, self.base[K]))

    def runs(self, without=()):
        state = {
            f"{name}.{f}": self.phi[:, k, j]
            for k, name in enumerate(self.domains)
            for j, f in enumerate(FEATURES)
        }
        state = pd.DataFrame({column: values for column, values in state.items() if column not in without})
        return Runs.from_frames(
            pd.DataFrame(self.T, columns=self.domains),
            pd.DataFrame({"score": self.y}),
            state=state,
            minimize=self.minimize,
        )

    def price(self, **options):
        return price_domain(self.runs(), self.new, **options)

    def quick_price(self, adjust=True):
        """The price alone, with the state taken away by linear regression, or not: for hundreds of worlds."""
        W = np.hstack([np.ones((len(self.y), 1)), self.phi.reshape(len(self.y), -1)])
        if not adjust or np.ptp(W, axis=0).max() == 0:
            W = W[:, :1]
        y, fold = self.y.copy(), np.arange(len(self.y)) % 10
        for k in range(10):  # cross-fitted: the runs are drawn independently
            y[fold == k] -= W[fold == k] @ np.linalg.lstsq(W[fold != k], self.y[fold != k], rcond=None)[0]
        mixed = MixedModel(y, self.z - self.z.mean(0), self.phi, self.here, 0.95)
        return mixed.price(self.base[-1])
