"""The stages, in the order in which they run: what the command line, YAML files and spark-submit call them."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.settings.stage import StageSettings, load_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Stage:
    """module: where its settings class and its function run are; imported when they are asked for."""

    name: str
    module: str
    settings: str
    summary: str

    def settings_class(self) -> type[StageSettings]:
        """The class of its settings."""
        resolved: type[StageSettings] = pkgutil.resolve_name(f"{self.module}:{self.settings}")
        return resolved

    def function(self) -> Callable[[StageSettings, SparkSession], object]:
        """What does its work."""
        resolved: Callable[[Any, SparkSession], object] = pkgutil.resolve_name(f"{self.module}:run")
        return resolved

    def load_settings(self, argv: Sequence[str] | None) -> StageSettings:
        """Its settings from a YAML file, the environment and flags: see jobs.settings.stage.load_settings."""
        sections = {name: stage.settings_class for name, stage in STAGES.items()}
        return load_settings(self.settings_class(), argv, stage=self.name, sections=sections)


_ALL = (
    Stage(
        "ingest",
        "jobs.ingesting.stage",
        settings="IngestSettings",
        summary="read documents from files or a table into the corpus table",
    ),
    Stage(
        "probes",
        "jobs.heads.probes",
        settings="ProbesSettings",
        summary="make the look-up probes that show which heads retrieve",
    ),
    Stage(
        "detect-heads",
        "jobs.heads.detection",
        settings="DetectHeadsSettings",
        summary="find a model's retrieval heads with the probes, and write them as a mask",
    ),
    Stage(
        "estimate",
        "jobs.scoring.estimate",
        settings="EstimateSettings",
        summary="say how long scoring would take and what it would cost, before it is spent",
    ),
    Stage(
        "score",
        "jobs.scoring.stage",
        settings="ScoreSettings",
        summary="score every document of a corpus, or of any Delta table, under a mask",
    ),
    Stage(
        "status",
        "jobs.scoring.status",
        settings="StatusSettings",
        summary="show what the scoring runs did or are doing, how fast, and what failed",
    ),
    Stage(
        "dedup",
        "jobs.deduplicating.stage",
        settings="DedupSettings",
        summary="find documents that are copies or near-copies of each other, as clusters",
    ),
    Stage(
        "rank", "jobs.ranking.stage", settings="RankSettings", summary="rank the scored documents within their domains"
    ),
    Stage(
        "select",
        "jobs.selecting.stage",
        settings="SelectSettings",
        summary="select the best documents of each domain, beside your dedup and quality tables",
    ),
    Stage(
        "mix",
        "jobs.mixing.stage",
        settings="MixSettings",
        summary="mix a selection with the corpus that it is of, as an index",
    ),
    Stage(
        "views",
        "jobs.querying.views",
        settings="ViewsSettings",
        summary="create the views current_scores, domain_summary, score_errors, selected_documents in a schema",
    ),
    Stage(
        "export",
        "jobs.exporting.stage",
        settings="ExportSettings",
        summary="write a training mix with its texts as shuffled shards, with a manifest and a data card",
    ),
    Stage(
        "sql",
        "jobs.querying.sql",
        settings="SqlSettings",
        summary="run Spark SQL over the namespace's tables by their bare names",
    ),
    Stage(
        "run",
        "jobs.run",
        settings="RunSettings",
        summary="run the stages that a file describes, one after the other in one session",
    ),
    Stage(
        "demo",
        "jobs.demo",
        settings="DemoSettings",
        summary="run everything on a small real corpus and model, and show what came out",
    ),
)
STAGES = {stage.name: stage for stage in _ALL}
