"""What weights do not tell of a model: which encoders reuse attention, which MLPs are weightless."""

from typing import Any

from torch import nn

from .reuse.convert import reuse_facts, reuse_from_facts_
from .weightless.facts import weightless_facts, weightless_from_facts_

WEIGHTLESS = "weightless"


def structure_facts(model: nn.Module) -> dict[str, Any] | None:
    """All that ``restore_structure_`` needs, as JSON; None for a model as timm builds it."""
    found = dict(reuse_facts(model) or {})
    if mlps := weightless_facts(model):
        found[WEIGHTLESS] = mlps
    return found or None


def restore_structure_(model: nn.Module, facts: dict[str, Any]) -> None:
    """Change a model as timm builds it into one that takes the weights beside ``facts``.

    Raises UserError for facts that the model cannot follow.
    """
    if "transform" in facts:
        reuse_from_facts_(model, facts)
    if WEIGHTLESS in facts:
        weightless_from_facts_(model, facts[WEIGHTLESS])
