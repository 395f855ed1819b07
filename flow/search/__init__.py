"""The search over assignments, as an Optuna study."""
