"""The settings of ingest: the input, its columns, and what may not go together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.hub.address import parse_hub_input
from jobs.settings.stage import StageSettings


class IngestSettings(StageSettings):
    """Read documents from files (also .gz, .zst, .bz2), a folder, a pattern, a Delta table or a dataset of a hub into
    the corpus table.

    A column's name may lead into objects, as in meta.lang; a name that has a dot itself goes first, or in backticks:
    `meta.lang`. Folders such as lang=en are a column lang, whose values are text as it is written there.

    Without --doc-id-column, a document's id is the SHA-256 of its text: the same text twice is one document.
    What corpus holds already is left as it is, so that ingesting the same input again adds nothing.
    """

    input: str = Field(
        description="file, folder, pattern such as 'data/*.jsonl.gz', Delta table, or hf://datasets/OWNER/NAME[@REVISION]"
    )
    subset: str | None = Field(None, min_length=1, description="of a dataset of a hub that has several")
    split: str | None = Field(None, min_length=1, description="of a dataset of a hub; train where none is named")
    format: Literal["auto", "parquet", "jsonl", "text", "delta"] = Field(
        "auto", description="jsonl: one object a line; text: one document a file; auto: by the files' extensions"
    )
    domain: str | None = Field(None, min_length=1, description="the domain of every document of this input")
    domain_column: str | None = Field(None, min_length=1, description="the column that holds each document's domain")
    text_column: str = Field("text", min_length=1, description="the column that holds the text")
    doc_id_column: str | None = Field(
        None, min_length=1, description="the column that identifies a document; for text: path"
    )
    source_column: str | None = Field(
        None, min_length=1, description="the column that says where a document is from; else the file"
    )
    on_conflict: Literal["fail", "update"] = Field(
        "fail", description="what to do where corpus has the doc_id with another text; update takes the new one"
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="take only so many documents: the first by doc_id, which reads all of the input; of a dataset of a "
        "hub, the first in its own order, which reads no file beyond them",
    )
    dry_run: bool = Field(False, description="read and check everything, write nothing")
    json_output: bool = Field(False, alias="json", description="print one JSON object for programs")

    @model_validator(mode="after")
    def _one_domain(self) -> IngestSettings:
        if (self.domain is None) == (self.domain_column is None):
            both = "not both" if self.domain else "neither was given"
            raise ValueError(f"name the domain with --domain NAME or --domain-column COLUMN ({both})")
        return self

    @model_validator(mode="after")
    def _of_a_hub(self) -> IngestSettings:
        if parse_hub_input(self.input) is None:
            for flag, value in (("--subset", self.subset), ("--split", self.split)):
                if value is not None:
                    raise ValueError(f"{flag} is of a dataset of a hub, --input hf://datasets/OWNER/NAME; leave it out")
        elif self.format != "auto":
            raise ValueError(f"--format {self.format} is of other inputs; a dataset of a hub says what its files are")
        return self
