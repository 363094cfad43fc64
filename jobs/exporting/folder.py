"""The folder of an export, local or remote: which may be written to, and how an unfinished one is marked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jobs.spark.table_names import absolute_path
from jobs.terminal.display import examples, printable

# Its first character hides it from Spark and PyArrow. While it exists, nothing beside it may be used.
MARKER = "_INCOMPLETE.json"
MANIFEST, CARD, DATA = "manifest.json", "README.md", "data"


@dataclass(frozen=True)
class ExportFolder:
    """A folder: its name for Spark, and its file system and path for PyArrow; made by open_folder."""

    name: str
    filesystem: Any
    path: str

    @property
    def data(self) -> str:
        """The folder of the shards, as Spark writes to it."""
        return f"{self.name}/{DATA}"

    @property
    def data_path(self) -> str:
        """The folder of the shards, for PyArrow."""
        return f"{self.path}/{DATA}"

    @property
    def data_pattern(self) -> str:
        """The folder of the shards, as Spark reads it: a pattern, in which special characters are escaped."""
        return re.sub(r"([\[\]{}*?\\])", r"\\\1", self.data)

    def require_free(self) -> bool:
        """Whether the folder holds an unfinished export; ValueError where it holds anything else."""
        from pyarrow.fs import FileSelector, FileType

        with self.errors("read"):
            kind = self.filesystem.get_file_info(self.path).type
            names = []
            if kind == FileType.Directory:
                names = sorted(info.base_name for info in self.filesystem.get_file_info(FileSelector(self.path)))
        if kind == FileType.File:
            raise ValueError(f"--out {self.name} is a file; name a folder, a new one or an empty one")
        if names and MARKER not in names:
            raise ValueError(
                f"--out {self.name} is not empty (it holds {examples(names, width=40)}) and is no export that was "
                "interrupted; nothing in it was touched: name a new folder, or empty this one"
            )
        return MARKER in names

    def begin(self, about: Mapping[str, Any]) -> dict[str, Any] | None:
        """Mark the folder as incomplete, then remove what an unfinished export left there.

        Returns what its marker said; None where there was no unfinished export.
        about: what the new marker says, with an export_id of its own.
        """
        before = self.marker() if self.require_free() else None
        with self.errors("written"):
            self.filesystem.create_dir(self.path, recursive=True)
            self.write(MARKER, json.dumps(about, indent=2) + "\n")
            if before is not None:
                for name in (MANIFEST, CARD):
                    if self._holds(name):
                        self.filesystem.delete_file(f"{self.path}/{name}")
                if self._holds(DATA):
                    self.filesystem.delete_dir(self.data_path)
        return before

    def marker(self) -> dict[str, Any]:
        """What the marker says; empty where there is none, or it is not complete."""
        with self.errors("read"):
            if not self._holds(MARKER):
                return {}
            with self.filesystem.open_input_stream(f"{self.path}/{MARKER}", compression=None) as file:
                text = file.read()
        try:
            content = json.loads(text)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def require_own(self, export_id: str) -> None:
        """Raise ValueError unless the marker is still this export's."""
        if self.marker().get("export_id") != export_id:
            raise ValueError(
                f"another export has begun in {self.name} meanwhile, and has removed what this one wrote; the folder "
                "is left to it: let one export at a time write to a folder"
            )

    def write(self, name: str, text: str) -> None:
        """Write a small file into the folder."""
        with (
            self.errors("written"),
            self.filesystem.open_output_stream(f"{self.path}/{name}", compression=None) as file,
        ):
            file.write(text.encode())

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, then remove the marker: until then the folder counts as unfinished.

        Raises ValueError where another export has begun in the folder: it has removed files of this one.
        """
        self.require_own(manifest["export_id"])
        self.write(MANIFEST, json.dumps(manifest, indent=2) + "\n")
        self.require_own(manifest["export_id"])
        with self.errors("written"):
            self.filesystem.delete_file(f"{self.path}/{MARKER}")

    def shard_sizes(self) -> dict[str, int]:
        """From the names of the shards, in order, to their bytes."""
        from pyarrow.fs import FileSelector

        with self.errors("read"):
            infos = self.filesystem.get_file_info(FileSelector(self.data_path, allow_not_found=True))
        # Hadoop writes checksums and _SUCCESS beside its files.
        shards = [info for info in infos if info.is_file and not info.base_name.startswith((".", "_"))]
        return {info.base_name: info.size for info in sorted(shards, key=lambda info: info.base_name)}

    def _holds(self, name: str) -> bool:
        from pyarrow.fs import FileType

        return bool(self.filesystem.get_file_info(f"{self.path}/{name}").type != FileType.NotFound)

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turn PyArrow's errors inside the block into a ValueError that names the folder."""
        from pyarrow.lib import ArrowException

        try:
            yield
        except (OSError, ArrowException) as error:
            raise ValueError(f"--out {self.name} cannot be {doing}: {printable(str(error), 300)}") from error


def open_folder(text: str) -> ExportFolder:
    """The folder of a path or URI; ValueError where no file system here opens it."""
    from pyarrow.fs import FileSystem, LocalFileSystem
    from pyarrow.lib import ArrowException

    name = absolute_path(text)
    if name.startswith("/"):
        return ExportFolder(name, LocalFileSystem(), name)
    try:
        # Hadoop also calls S3 s3a and s3n, and does not decode URIs: %20 is not a space there.
        filesystem, path = FileSystem.from_uri(quote(re.sub("^s3[an]:", "s3:", name), safe=":/@"))
    except (OSError, ArrowException) as error:
        raise ValueError(
            f"--out {name} cannot be opened: {printable(str(error), 200)}; name a folder of this machine, or a URI "
            "that both Spark and PyArrow read: file:/, s3:// or s3a://, gs://, abfss://, hdfs://"
        ) from error
    return ExportFolder(name, filesystem, path)
