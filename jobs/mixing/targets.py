"""How many tokens each part of a mix, and each domain in it, gets."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

# From each domain to its tokens.
Tokens = Mapping[str, int]


def domain_shares(part: str, tokens: Tokens, wanted: Mapping[str, float]) -> dict[str, Fraction]:
    """Each domain's share of a part: the wanted one, or else a part of the rest, in proportion to its tokens.

    Raises ValueError for a share of a domain that the part does not have, and for shares that are more than 1 in all,
    or less where no other domain is left.
    """
    for domain, share in wanted.items():
        if share and domain not in tokens:
            raise ValueError(
                f"--domain-share gives {domain!r} {share:g}, but the {part} part of the mix has no document of it; "
                "give it 0, or select some of its documents, and not all of them unless with --baseline all"
            )
    shares = {domain: Fraction(str(share)) for domain, share in wanted.items()}
    rest = 1 - sum(shares.values())
    others = sum(count for domain, count in tokens.items() if domain not in shares)
    if rest < 0 or (rest > 0 and not others):
        raise ValueError(
            f"--domain-share gives {float(1 - rest):g} in all; it must be at most 1, or 1 if it names every domain"
        )
    return {domain: shares.get(domain, rest * Fraction(count, others or 1)) for domain, count in tokens.items()}


def part_targets(
    available: Mapping[str, Tokens],
    part_shares: Mapping[str, Fraction],
    wanted: Mapping[str, float],
    total: int | None,
) -> dict[str, dict[str, int]]:
    """From each part to its domains' tokens.

    available: from each part to its domains' tokens, repeats counted. total: of the mix; None for as many as possible.
    Raises ValueError where a part has too few tokens for the total, naming the largest possible one.
    """
    for part, tokens in available.items():
        if not tokens:
            raise ValueError(
                f"the {part} part of the mix has no documents: was everything selected? mix with --baseline all, or "
                "select less"
            )
    shares = {
        (part, domain): part_shares[part] * share
        for part, tokens in available.items()
        for domain, share in domain_shares(part, tokens, wanted).items()
    }
    bounds = {key: available[key[0]][key[1]] / share for key, share in shares.items() if share > 0}
    (part, domain), largest = min(bounds.items(), key=lambda item: item[1])
    if total is not None and total > largest:
        raise ValueError(
            f"--tokens is {total:,}, but the {part} part of domain {domain!r} has {available[part][domain]:,} tokens "
            f"with its repeats, which suffice for a mix of {int(largest):,}; ask for fewer, raise --repeats, or give "
            "the domain a smaller share"
        )
    # Not rounded, so that the domain that limits the mix is taken whole.
    asked = largest if total is None else Fraction(total)
    targets: dict[str, dict[str, int]] = {part: {} for part in available}
    for (part, domain), share in shares.items():
        targets[part][domain] = int(asked * share)
    return targets
