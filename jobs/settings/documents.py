"""The settings of all stages that read documents: where they are."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from jobs.settings.stage import StageSettings


@dataclass(frozen=True)
class DocumentTable:
    """A table, None for the namespace's corpus, and the names that its columns have there.

    text_sha256: None where the table has no such column.
    """

    table: str | None
    doc_id: str
    text: str
    domain: str
    text_sha256: str | None = None

    @property
    def is_corpus(self) -> bool:
        """Whether these are the texts of the namespace's corpus, which has their hashes and sizes."""
        return self.table is None and self.text == "text"


class DocumentSettings(StageSettings):
    """Where the documents are."""

    corpus_table: str | None = Field(
        None, description="Delta table with the documents; by default the namespace's corpus"
    )
    doc_id_column: str = Field("doc_id", description="its column with the document's id")
    text_column: str = Field("text", description="its column with the text")
    domain_column: str = Field("domain", description="its column with the domain")

    text_sha256_column: str | None = Field(
        None,
        min_length=1,
        description="its column with the SHA-256 of the text in hex, so that no text is read where none is needed; "
        "keep it in step with the text; corpus has one",
    )

    def document_table(self) -> DocumentTable:
        """The table and its columns."""
        return DocumentTable(
            table=self.corpus_table,
            doc_id=self.doc_id_column,
            text=self.text_column,
            domain=self.domain_column,
            text_sha256=self.text_sha256_column,
        )
