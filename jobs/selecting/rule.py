"""A selection's rule as limits of documents and tokens per domain."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from jobs.ranking.cutoffs import Limit
from jobs.selecting.settings import SelectSettings

# From each domain to its documents and tokens.
Totals = Mapping[str, tuple[int, int]]


def limits(settings: SelectSettings, totals: Totals) -> dict[str, Limit]:
    """How much the rule allows of each domain; not for thresholds.

    Shares are exact in decimals, as they were written: 0.3 of 10 documents are 3.
    """
    if settings.rule == "fraction":
        return {domain: Limit(max_documents=_share(settings.value(domain), n)) for domain, (n, _) in totals.items()}
    if settings.rule == "token_fraction":
        return {domain: Limit(max_tokens=_share(settings.value(domain), t)) for domain, (_, t) in totals.items()}
    return {domain: Limit(max_tokens=budget) for domain, budget in _token_budgets(settings, totals).items()}


def _share(share: float, of: int) -> int:
    return int(Fraction(str(share)) * of)


def _token_budgets(settings: SelectSettings, totals: Totals) -> dict[str, int]:
    """Each domain's tokens: those that were set for it, or else a part of the rest, in proportion to what it has."""
    assert settings.tokens is not None
    fixed = {domain: int(tokens) for domain, tokens in settings.domain.items()}
    rest = int(settings.tokens) - sum(fixed.values())
    others = {domain: tokens for domain, (_, tokens) in totals.items() if domain not in fixed}
    shared = sum(others.values())
    return fixed | {domain: rest * tokens // shared for domain, tokens in others.items()}
