"""The settings that score and estimate share: how documents are scored, and where they are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.settings.documents import DocumentSettings


class ScorerSettings(DocumentSettings):
    """A model, a mask, and a table of documents."""

    model: str = Field(description="hub id with optional @revision, a model folder, or a .gguf file")
    mask_id: str | None = Field(None, description="which mask of head_masks; needed if there are several")
    heads_file: str | None = Field(None, description="text file of the heads to mask, one layer,head per line")
    mask_mode: Literal["uniform", "zero"] = Field(
        "uniform", description="uniform: masked heads attend equally to all of the past; zero: they output nothing"
    )
    window: int = Field(4096, ge=4, description="longest piece of a document read at once, in tokens")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="number format; auto is bfloat16 on GPUs (float16 on old ones) and float32 on CPUs"
    )
    max_batch_tokens: int | None = Field(
        None, ge=1, description="most tokens in one forward pass; by default what suits the device"
    )
    trust_remote_code: bool = Field(False, description="run Python code from the model's repository")
    allow_implausible_model: bool = Field(
        False,
        description="accept a model that reads plain English and code poorly: letters or bytes as tokens, another "
        "language, random weights",
    )
    json_output: bool = Field(False, alias="json", description="print the result as one JSON object")
