"""The demo's corpus: real text in five domains, from the packages that the demo installs."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

FILE_NAME = "demo_corpus.jsonl"
MIN_CHARS = 400
# The demo shows how scores depend on length: documents are taken in turn from this many equal classes of length.
NUM_LENGTH_CLASSES = 5
# Its readme quotes the demo's output: scoring it would change the next output.
OWN_PACKAGE = "attention-influence"

# Tables of data, old grammars, tests, and modules that many systems leave out or install separately.
_NOT_TYPICAL_CODE = {
    *("encodings", "pydoc_data", "lib2to3", "test", "ensurepip"),
    *("distutils", "idlelib", "tkinter", "turtledemo"),
}
_LICENCE_NAME = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|EULA)", re.IGNORECASE)
_TEXT_SUFFIX = re.compile(r"\.(txt|md|rst)$", re.IGNORECASE)


class Document(NamedTuple):
    """A document and its readable title, which is unique within its domain."""

    source: str
    text: str


def gather_demo_corpus(folder: Path, max_chars: int, per_domain: int) -> Path:
    """The path of a JSONL file in folder, with up to per_domain documents in each of the five domains.

    Each line holds doc_id, domain, text and source. A text is cut after its last whole line within max_chars, and
    otherwise unchanged; none has fewer than 400 characters or is there twice. The same machine gives the same bytes,
    and a file that already holds them is left alone. Raises ValueError where max_chars is too small, a domain's
    packages are missing, or folder cannot be written.
    """
    if max_chars < MIN_CHARS:
        raise ValueError(f"max_chars is {max_chars}, but no document is shorter than {MIN_CHARS}; use that or more")
    if per_domain < 1:
        raise ValueError(f"per_domain is {per_domain}; take at least 1 document per domain")
    domains = {
        "code": _standard_library(),
        "reference": _language_reference(),
        "mathematics": _mathematics_docstrings(),
        "readme": _package_descriptions(),
        "legal": _licences(),
    }
    taken: set[str] = set()
    lines: list[str] = []
    for domain, documents in domains.items():
        chosen = _select(documents, max_chars=max_chars, count=per_domain, taken=taken)
        if not chosen:
            raise ValueError(
                f"this Python has no text for the domain {domain} of the demo's corpus: its library or packages come "
                "without sources or metadata; run in a virtual environment with attention-influence[demo] installed"
            )
        for source, text in chosen:
            doc_id = f"{domain}-{_hash(source)[:12]}"
            record = {"doc_id": doc_id, "domain": domain, "text": text, "source": source}
            lines.append(json.dumps(record) + "\n")
    return _write(folder, "".join(lines))


def _select(documents: Iterator[Document], *, max_chars: int, count: int, taken: set[str]) -> list[Document]:
    """Up to count documents of various lengths, cut, sorted by source. taken: texts to skip; those chosen are added."""
    classes: list[list[Document]] = [[] for _ in range(NUM_LENGTH_CLASSES)]
    for source, text in sorted(documents, key=lambda document: _hash(document.source)):
        cut = _cut(text, max_chars)
        if len(cut) >= MIN_CHARS and cut not in taken:
            taken.add(cut)
            length_class = (len(cut) - MIN_CHARS) * NUM_LENGTH_CLASSES // (max_chars - MIN_CHARS + 1)
            classes[length_class].append(Document(source, cut))
    chosen: list[Document] = []
    while len(chosen) < count and any(classes):
        chosen.extend(members.pop(0) for members in classes if members)
    return sorted(chosen[:count])


def _cut(text: str, max_chars: int) -> str:
    """The text up to the last line end within max_chars; empty where the first line is longer."""
    return text if len(text) <= max_chars else text[: text.rfind("\n", 0, max_chars) + 1]


def _standard_library() -> Iterator[Document]:
    """Modules of the standard library and of its packages."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in (*root.glob("*.py"), *root.glob("*/*.py")):
        relative = path.relative_to(root)
        if relative.parts[0].removesuffix(".py") in sys.stdlib_module_names - _NOT_TYPICAL_CODE:
            with tokenize.open(path) as stream:
                yield Document(relative.as_posix(), stream.read())


def _language_reference() -> Iterator[Document]:
    from pydoc_data.topics import topics

    for name, text in topics.items():
        yield Document(f"topic: {name}", text)


def _mathematics_docstrings() -> Iterator[Document]:
    """Docstrings of the functions and classes at the top level of sympy and networkx, each once."""
    try:
        import networkx
        import sympy
    except ImportError as error:
        raise ValueError(
            f"the demo's mathematics are docstrings of sympy and networkx, but {error.name} is not installed; "
            "pip install 'attention-influence[demo]'"
        ) from error
    seen: set[str] = set()
    for module in (sympy, networkx):
        for name in sorted(vars(module)):
            member = vars(module)[name]
            # Dispatched functions of networkx are objects. Modules and constants have docstrings of their types.
            if name.startswith("_") or not callable(member):
                continue
            text = inspect.cleandoc(getattr(member, "__doc__", None) or "")
            if text not in seen:
                seen.add(text)
                yield Document(f"{module.__name__}.{name}", text)


def _packages() -> list[tuple[str, Distribution]]:
    """(name, distribution) of every installed package except this one, each once, in the order of names."""
    packages: dict[str, Distribution] = {}
    for package in distributions():
        # A folder left behind by a failed installation has no metadata.
        if "Name" in (package.metadata or ()):
            packages.setdefault(package.metadata["Name"], package)
    return [(name, packages[name]) for name in sorted(packages) if name != OWN_PACKAGE]


def _package_descriptions() -> Iterator[Document]:
    for name, package in _packages():
        description = package.metadata.json.get("description")
        if isinstance(description, str):
            yield Document(f"{name} README", description)


def _licences() -> Iterator[Document]:
    """Licence files beside the packages' metadata; many differ only by a name and a year."""
    for name, package in _packages():
        for file in package.files or []:
            if not file.parts[0].endswith(".dist-info") or not _LICENCE_NAME.search(file.name):
                continue
            inside = [part for part in file.parts[1:] if part != "licenses"]
            try:
                text = Path(str(file.locate())).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            yield Document(f"{name} {_TEXT_SUFFIX.sub('', '/'.join(inside))}", text)


def _write(folder: Path, content: str) -> Path:
    """Write the content to the file, all of it or nothing; returns its path."""
    path = folder / FILE_NAME
    try:
        if path.is_file() and path.read_bytes() == content.encode():
            return path
        folder.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}.tmp")
        scratch.write_bytes(content.encode())
        scratch.replace(path)
    except OSError as error:
        raise ValueError(f"the demo's corpus cannot be written to {folder}: {error}; name another folder") from error
    return path


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
