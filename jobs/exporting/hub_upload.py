"""Uploads a finished export to a dataset of a hub, in one commit: readers see all of it, or what was there before."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.exporting.folder import MANIFEST
from jobs.hub.address import HubInput
from jobs.hub.errors import hub_errors
from jobs.terminal.display import examples

# The hub itself puts this into a new repository.
OF_THE_HUB = ".gitattributes"


class HubTarget:
    """Where an export goes: a dataset or a folder of it, at a branch. may_replace: whether an export there may go."""

    def __init__(self, hub_input: HubInput, *, may_replace: bool) -> None:
        self.hub_input = hub_input
        self.may_replace = may_replace
        self.prefix = f"{hub_input.path}/" if hub_input.path else ""
        self.present: list[str] = []
        self.parent_commit: str | None = None

    def require_free(self) -> None:
        """Raise ValueError where there is no token, and where the target holds something that may not be replaced."""
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.errors import RepositoryNotFoundError

        repo_id = self.hub_input.repo_id
        if get_token() is None:
            raise ValueError(f"dataset {repo_id} is written to with a token: set HF_TOKEN in the environment")
        with hub_errors(self.hub_input):
            try:
                about = HfApi().dataset_info(repo_id, revision=self.hub_input.revision)
            except RepositoryNotFoundError:
                return
        names = sorted(file.rfilename for file in about.siblings or [])
        self.present = [name for name in names if name.startswith(self.prefix) and name != OF_THE_HUB]
        self.parent_commit = about.sha
        is_export = self.prefix + MANIFEST in self.present
        if self.present and not (is_export and self.may_replace):
            remedy = "put this one in its place with --overwrite" if is_export else "it is no export"
            raise ValueError(
                f"dataset {self.hub_input.repo_id} is not empty (it holds {examples(self.present, width=40)}); "
                f"nothing in it was touched: {remedy}, or name another"
            )

    def create(self) -> None:
        """Make a private dataset where there is none; raises ValueError where the token does not allow it."""
        from huggingface_hub import HfApi

        if self.parent_commit is None:
            with hub_errors(self.hub_input):
                api, repo_id = HfApi(), self.hub_input.repo_id
                api.create_repo(repo_id, repo_type="dataset", private=True)
                self.parent_commit = api.dataset_info(repo_id, revision=self.hub_input.revision).sha

    def upload(self, folder: str) -> str:
        """Replace what is there by the folder's files, in one commit; returns its hash.

        Raises ValueError where the hub does not accept all of it, or then holds something else than the folder.
        """
        sizes = _sizes(folder)
        try:
            with hub_errors(self.hub_input):
                commit = self._commit(folder, sizes)
                held = self._held(commit)
            if held != sizes:
                wrong = sorted(name for name in held.keys() | sizes.keys() if held.get(name) != sizes.get(name))
                raise ValueError(f"commit {commit} is not the export: {len(wrong)} files differ, such as {wrong[0]}")
        except ValueError as error:
            raise ValueError(f"{error}; the finished export is in {folder}: upload it once that is mended") from None
        return commit

    def _commit(self, folder: str, sizes: dict[str, int]) -> str:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
        from huggingface_hub.utils import disable_progress_bars

        obsolete = [name for name in self.present if name.removeprefix(self.prefix) not in sizes]
        operations: list[Any] = [CommitOperationDelete(name, is_folder=False) for name in obsolete]
        operations += [CommitOperationAdd(self.prefix + name, Path(folder, name)) for name in sizes]
        disable_progress_bars()
        # With parent_commit, the hub refuses this where others have committed since: their files would stay beside it.
        done = HfApi().create_commit(
            self.hub_input.repo_id,
            operations,
            commit_message="Export of a training mix by attention-influence",
            repo_type="dataset",
            revision=self.hub_input.revision,
            parent_commit=self.parent_commit,
        )
        return str(done.oid)

    def _held(self, commit: str) -> dict[str, int]:
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        tree = HfApi().list_repo_tree(
            self.hub_input.repo_id, self.hub_input.path, recursive=True, revision=commit, repo_type="dataset"
        )
        files = {file.path: file.size for file in tree if isinstance(file, RepoFile) and file.path != OF_THE_HUB}
        return {name.removeprefix(self.prefix): size for name, size in files.items()}


@contextmanager
def staging_folder(named: str | None) -> Iterator[str]:
    """The folder in which the export is written and read back before it is uploaded: the named one, or a temporary one.

    A temporary folder is removed, unless it holds a finished export that did not reach the hub.
    """
    folder = named or tempfile.mkdtemp(prefix="attention-influence-export-")
    is_uploaded = False
    try:
        yield folder
        is_uploaded = True
    finally:
        if named is None and (is_uploaded or not Path(folder, MANIFEST).is_file()):
            shutil.rmtree(folder, ignore_errors=True)


def _sizes(folder: str) -> dict[str, int]:
    """The files of an export, from name to bytes, without the checksums that Hadoop writes beside its files."""
    root = Path(folder)
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.startswith((".", "_"))]
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in files}
