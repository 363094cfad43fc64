"""The settings of all stages that read documents: where they are."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from jobs.settings.stage import StageSettings


@dataclass(frozen=True)
class DocumentTable:
    """A table, None for the namespace's corpus, and the names that its columns have there."""

    table: str | None
    doc_id: str
    text: str
    domain: str


class DocumentSettings(StageSettings):
    """Where the documents are."""

    corpus_table: str | None = Field(
        None, description="Delta table with the documents; by default the namespace's corpus"
    )
    doc_id_column: str = Field("doc_id", description="its column with the document's id")
    text_column: str = Field("text", description="its column with the text")
    domain_column: str = Field("domain", description="its column with the domain")

    def document_table(self) -> DocumentTable:
        """The table and its columns."""
        return DocumentTable(
            table=self.corpus_table, doc_id=self.doc_id_column, text=self.text_column, domain=self.domain_column
        )
