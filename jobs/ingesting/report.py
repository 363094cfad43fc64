"""What an ingest did, for a program and for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.terminal.display import plain_table, printable

if TYPE_CHECKING:
    from pyspark.sql import Row

    from jobs.ingesting.settings import IngestSettings


def ingest_result(settings: IngestSettings, file_format: str, domains: list[Row]) -> dict[str, Any]:
    """What was read, and what is new, in all and by domain."""

    def total(name: str) -> int:
        return int(sum(row[name] for row in domains))

    return {
        "input": settings.input,
        "format": file_format,
        "namespace": settings.namespace,
        "dry_run": settings.dry_run,
        "num_read": total("num_read"),
        "num_new": total("num_new"),
        "num_present": total("num_documents") - total("num_new"),
        "num_repeats": total("num_read") - total("num_documents"),
        "num_repaired": total("num_repaired"),
        "num_other_text": total("num_other_text"),
        "num_other_domain": total("num_other_domain"),
        "num_other_source": total("num_other_source"),
        "on_conflict": settings.on_conflict,
        "domains": {
            row["domain"]: {"num_documents": row["num_documents"], "num_new": row["num_new"]} for row in domains
        },
    }


def describe(result: dict[str, Any]) -> str:
    """The same for a person."""
    rows = [
        [printable(name, 40), f"{counts['num_documents']:,}", f"{counts['num_new']:,}"]
        for name, counts in result["domains"].items()
    ]
    would = "would be " if result["dry_run"] else ""
    lines = [plain_table(["domain", "documents", "new"], rows)] if rows else []
    lines.append(
        f"{result['num_read']:,} documents read from {printable(result['input'])} ({result['format']}): "
        f"{result['num_new']:,} {would}added to corpus in {result['namespace']}, {result['num_present']:,} were there "
        "already"
    )
    kept = "the new one is taken" if result["on_conflict"] == "update" else "corpus keeps its own"
    notes = {
        "num_repeats": "repeats of another's text, one document with it",
        "num_other_text": f"in corpus with another text, {kept}",
        "num_other_domain": f"in corpus under another domain, {kept}",
        "num_repaired": "with pieces that are no Unicode text, each now U+FFFD",
        "num_unchecked": "compressed files on a storage where only Spark could tell whether they are whole",
        "num_hidden": "files that were not read: their names, or their folders', begin with _ or a dot",
    }
    if "revision" in result:
        # What reads the same again, whatever the branch is by then.
        subset = f"subset {printable(result['subset'], 60)}, " if result["subset"] else ""
        lines.append(f"  {subset}split {printable(result['split'], 60)} at commit {result['revision']}")
    lines += [f"  {note}: {result[name]:,}" for name, note in notes.items() if result[name]]
    if result["num_other_files"]:
        named = ", ".join(printable(name, 200) for name in result["other_files"])
        lines.append(f"  files of other kinds, which were not read: {result['num_other_files']:,}, such as {named}")
    return "\n".join(lines)
