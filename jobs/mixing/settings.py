"""The settings of mix: its parts, and their sizes."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import Field, FiniteFloat, model_validator

from jobs.settings.documents import DocumentSettings


class MixSettings(DocumentSettings):
    """Mix a selection with the corpus it was selected from: which documents, and how often. Texts are not copied.

    Documents are drawn by a hash of the seed and their ids, so that the same settings give the same mix.
    """

    selection_id: str | None = Field(None, description="which selection to mix; needed if there are several")
    selected_share: float = Field(
        0.7, ge=0, le=1, description="share of the mix's tokens that comes from the selection"
    )
    baseline: Literal["all", "rest"] = Field(
        "all", description="what the other part is drawn from: all scored documents, or those that were not selected"
    )
    tokens: FiniteFloat | None = Field(
        None, ge=1, description="tokens of the mix, such as 80e9; by default as many as possible"
    )
    repeats: int = Field(
        1,
        ge=1,
        le=1000,
        description="how often a document may be in the selected part; with --baseline all, the other part may have it "
        "once more",
    )
    repeat_by: Literal["flat", "percentile"] = Field(
        "flat",
        description="flat: repeat each selected document that often; percentile: repeat the best of its domain that "
        "often, the worst once, and those between in equal steps",
    )
    domain_share: dict[str, FiniteFloat] = Field(
        default_factory=dict,
        description="a domain's share of each part's tokens, such as code=0.4; other domains share the rest in "
        "proportion to their tokens; may be repeated",
    )
    seed: int = Field(0, ge=-(2**63), lt=2**63, description="seed of the hash that draws documents")
    json_output: bool = Field(False, alias="json", description="print the result as one JSON object")

    @model_validator(mode="after")
    def _check(self) -> MixSettings:
        for domain, share in self.domain_share.items():
            if share < 0:
                raise ValueError(f"--domain-share {domain}={share:g} must be 0 or more")
        in_all = sum(Fraction(str(share)) for share in self.domain_share.values())
        if in_all > 1:
            raise ValueError(f"--domain-share gives {float(in_all):g} in all; it must be at most 1")
        return self
