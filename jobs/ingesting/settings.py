"""The settings of ingest: the input, its columns, and what may not go together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.hub.address import parse_hub_input
from jobs.settings.stage import StageSettings


class IngestSettings(StageSettings):
    """Read documents from files (also .gz, .zst, .bz2), a folder, a pattern, a Delta table or a dataset of a hub into
    the corpus table.

    A column may be a field of an object, such as meta.lang. A column whose own name has a dot takes precedence; in
    backticks, `meta.lang` is that column only. Folders such as lang=en are a column lang with their text as its value.

    Without --doc-id-column, a document's id is the SHA-256 of its text: the same text twice is one document.
    Documents that corpus already holds are left as they are, so that ingesting the same input again adds nothing.
    """

    input: str = Field(
        "",
        description="file, folder, pattern such as 'data/*.jsonl.gz', Delta table, or hf://datasets/OWNER/NAME[@REVISION]",
    )
    subset: str | None = Field(None, min_length=1, description="the subset of a hub's dataset, if it has several")
    split: str | None = Field(None, min_length=1, description="the split of a hub's dataset; train by default")
    format: Literal["auto", "parquet", "jsonl", "text", "delta"] = Field(
        "auto", description="jsonl: one object per line; text: one document per file; auto: by the files' extensions"
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
        "fail", description="what to do if corpus has a doc_id with another text; update takes the new text"
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="take only this many documents: the first by doc_id, which reads the whole input; of a hub's "
        "dataset, the first in its own order, which reads no file after them",
    )
    upgrade: bool = Field(
        False, description="read nothing: bring the corpus table of an older version up to date, once"
    )
    dry_run: bool = Field(False, description="read and check everything, write nothing")
    json_output: bool = Field(False, alias="json", description="print the result as one JSON object")

    @model_validator(mode="after")
    def _one_domain(self) -> IngestSettings:
        if self.upgrade:
            if self.input:
                raise ValueError("--upgrade reads no input; leave --input out, and ingest afterwards")
            return self
        if not self.input:
            raise ValueError("--input is needed: the file, folder, table or dataset to read")
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
