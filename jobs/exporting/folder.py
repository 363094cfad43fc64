"""The folder of an export, here or on remote storage: who may write to it, and how a half-written one is told."""

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

# Hidden from Spark and PyArrow by its first character. While it is there, nothing beside it is to be used.
MARKER = "_INCOMPLETE.json"
MANIFEST, CARD, DATA = "manifest.json", "README.md", "data"


@dataclass(frozen=True)
class ExportFolder:
    """A folder as Spark names it, and the file system and path under which PyArrow knows it; made by open_folder."""

    name: str
    filesystem: Any
    path: str

    @property
    def data(self) -> str:
        """The folder of the shards, to write to."""
        return f"{self.name}/{DATA}"

    @property
    def data_path(self) -> str:
        """The folder of the shards as PyArrow knows it."""
        return f"{self.path}/{DATA}"

    @property
    def data_pattern(self) -> str:
        """The folder of the shards as Spark reads it: what it reads is a pattern."""
        return re.sub(r"([\[\]{}*?\\])", r"\\\1", self.data)

    def require_free(self) -> bool:
        """Whether an unfinished export is there; ValueError unless that, or nothing, is what the folder holds."""
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
        """Mark the folder as incomplete, then remove what another export has left in it; what its marker said.

        about: with an export_id that no other export has.
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
        """What the marker says: nothing where it is not there, or not whole."""
        with self.errors("read"):
            if not self._holds(MARKER):
                return {}
            with self.filesystem.open_input_stream(f"{self.path}/{MARKER}", compression=None) as file:
                text = file.read()
        try:
            found = json.loads(text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def require_own(self, export_id: str) -> None:
        """Raise ValueError unless the marker is still that of this export."""
        if self.marker().get("export_id") != export_id:
            raise ValueError(
                f"another export has begun in {self.name} meanwhile, and has removed what this one wrote; the folder "
                "is left to it: let one export at a time write to a folder"
            )

    def write(self, name: str, text: str) -> None:
        """Write a small file of the folder."""
        with (
            self.errors("written"),
            self.filesystem.open_output_stream(f"{self.path}/{name}", compression=None) as file,
        ):
            file.write(text.encode())

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, then remove the marker: until then the folder counts as unfinished.

        ValueError where another export has begun in the folder; what it has removed by then makes the folder no whole
        one, whichever marker goes.
        """
        self.require_own(manifest["export_id"])
        self.write(MANIFEST, json.dumps(manifest, indent=2) + "\n")
        self.require_own(manifest["export_id"])
        with self.errors("written"):
            self.filesystem.delete_file(f"{self.path}/{MARKER}")

    def shard_sizes(self) -> dict[str, int]:
        """The names of the shards, in order, and their bytes."""
        from pyarrow.fs import FileSelector

        with self.errors("read"):
            found = self.filesystem.get_file_info(FileSelector(self.data_path, allow_not_found=True))
        # Hadoop keeps checksums and a file that says success beside what it writes.
        shards = [info for info in found if info.is_file and not info.base_name.startswith((".", "_"))]
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
    """The folder that a person named, by a path or a URI; ValueError for one of a storage that is not known here."""
    from pyarrow.fs import FileSystem, LocalFileSystem
    from pyarrow.lib import ArrowException

    name = absolute_path(text)
    if name.startswith("/"):
        return ExportFolder(name, LocalFileSystem(), name)
    try:
        # Hadoop has names of its own for S3, and takes a path as it stands: %20 is no space to it.
        filesystem, path = FileSystem.from_uri(quote(re.sub("^s3[an]:", "s3:", name), safe=":/@"))
    except (OSError, ArrowException) as error:
        raise ValueError(
            f"--out {name} cannot be opened: {printable(str(error), 200)}; name a folder of this machine, or a URI "
            "that both Spark and PyArrow read: file:/, s3:// or s3a://, gs://, abfss://, hdfs://"
        ) from error
    return ExportFolder(name, filesystem, path)
