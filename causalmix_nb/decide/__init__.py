"""From a model to a mixture: constraints, the recommended mixture, baselines, comparisons and exports."""
