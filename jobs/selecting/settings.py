"""The settings of select: the rule, the tables to join, and which settings exclude each other."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from jobs.settings.documents import DocumentSettings

RULES = ("fraction", "token_fraction", "tokens", "threshold")
DEFAULT_FRACTION = 0.2
# Settings on which it does not depend what is selected.
NOT_PART_OF_IT = ("namespace", "config", "json_output", "dry_run", "scorer_id", "text_sha256_column")


class SelectSettings(DocumentSettings):
    """Select the best documents of each domain by their influence score, together with your dedup and quality tables.

    The rule is --fraction 0.2 unless another is given. Documents are taken from the top of their domain, ties by
    doc_id, and never more than the rule allows. The same settings and tables give the same selection.
    """

    scorer_id: str | None = Field(None, description="whose scores to select by; needed if there are several scorers")
    fraction: float | None = Field(None, gt=0, le=1, description="share of each domain's documents")
    token_fraction: float | None = Field(None, gt=0, le=1, description="share of each domain's tokens")
    tokens: FiniteFloat | None = Field(
        None, ge=0, description="tokens in total, such as 73e9, divided among domains in proportion to their tokens"
    )
    threshold: FiniteFloat | None = Field(
        None, description="lowest influence score to take; with --end bottom, the highest"
    )
    domain: dict[str, FiniteFloat] = Field(
        default_factory=dict, description="the rule's value for one domain, such as code=0.3; may be repeated"
    )
    end: Literal["top", "bottom"] = Field("top", description="take the highest scores, or the lowest")
    dedup_table: str | None = Field(None, description="table of clusters; one document of each cluster is kept")
    dedup_id_column: str = Field("doc_id", description="its column with the document's id")
    cluster_column: str = Field("cluster_id", description="its column with the cluster's id")
    prefer: Literal["score", "length", "quality"] = Field("score", description="which document of a cluster to keep")
    quality_table: str | None = Field(None, description="table with a quality value for each document")
    quality_id_column: str = Field("doc_id", description="its column with the document's id")
    quality_column: str = Field("quality", description="its column with the value, the higher the better")
    min_quality: FiniteFloat | None = Field(None, description="lowest quality to take")
    combine: dict[str, FiniteFloat] = Field(
        default_factory=dict,
        description="order by a weighted mean of percentiles in the domain, such as influence=0.7,quality=0.3",
    )
    missing: Literal["keep", "drop", "fail"] = Field(
        "fail", description="what to do with scored documents that a joined table lacks"
    )
    dry_run: bool = Field(False, description="print what would be selected, and write nothing")
    json_output: bool = Field(False, alias="json", description="print the result as one JSON object")

    @model_validator(mode="after")
    def _check(self) -> SelectSettings:
        given = [name for name in RULES if getattr(self, name) is not None]
        if len(given) > 1:
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ValueError(
                f"{flags} are rules, and only one may be given; leave out all but one, in a --config file too"
            )
        rule = self.rule
        for domain, value in self.domain.items():
            if rule in ("fraction", "token_fraction") and not 0 < value <= 1:
                raise ValueError(f"--domain {domain}={value} must be above 0 and at most 1, as --{rule} is")
            # Taken for a share, it would give the domain no token at all, without a word.
            if rule == "tokens" and value != 0 and value < 1:
                raise ValueError(
                    f"--domain {domain}={value} must be a number of tokens, as --tokens is: 0, or 1 or more"
                )
        if rule == "tokens" and 0 < self.general_value < 1:
            raise ValueError(
                f"--tokens {self.general_value:g} must be a number of tokens: 0, or 1 or more; a share of them is "
                "--token-fraction"
            )
        if rule == "tokens" and sum(self.domain.values()) > self.general_value:
            raise ValueError(
                f"--domain gives {sum(self.domain.values()):,.0f} tokens to {', '.join(sorted(self.domain))}, more "
                f"than the {self.general_value:,.0f} of --tokens"
            )
        self._check_quality()
        return self

    def _check_quality(self) -> None:
        needs = [
            flag
            for flag, used in (
                ("--min-quality", self.min_quality is not None),
                ("--combine", bool(self.combine)),
                ("--prefer quality", self.prefer == "quality"),
            )
            if used
        ]
        if needs and self.quality_table is None:
            raise ValueError(f"{needs[0]} needs a --quality-table")
        if not self.combine:
            return
        weights = self.combine.values()
        if set(self.combine) != {"influence", "quality"} or min(weights) < 0 or not any(weights):
            raise ValueError(f"--combine is {self.combine}, but must be weights such as influence=0.7,quality=0.3")
        if self.missing == "keep":
            raise ValueError("--combine needs a quality for each document; use --missing drop or fail")
        if self.rule == "threshold":
            raise ValueError("--threshold is an influence score, which --combine does not order by; use --fraction")

    @property
    def rule(self) -> str:
        """The name of the rule that applies."""
        return next((name for name in RULES if getattr(self, name) is not None), "fraction")

    @property
    def general_value(self) -> float:
        """The rule's value for domains without one of their own."""
        given: float | None = getattr(self, self.rule)
        return DEFAULT_FRACTION if given is None else given

    def value(self, domain: str) -> float:
        """The rule's value for the domain."""
        return self.domain.get(domain, self.general_value)

    def what_was_asked(self) -> dict[str, Any]:
        """The settings that decide what is selected."""
        asked = self.model_dump(exclude={*NOT_PART_OF_IT, *RULES})
        return asked | {"rule": self.rule, "value": self.general_value}
