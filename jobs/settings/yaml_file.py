"""A YAML file as it is written: text stays text, and no key is taken twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_NULL, _MERGE, _TEXT = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "merge", "str"))
# What YAML 1.1 takes unquoted text for by its looks. The type of a setting says better what it is.
_GUESSED = [f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp", "value")]


class Written(str):
    """Text that is not quoted in its file, and so not in a message either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class _Loader(yaml.SafeLoader):
    """Reads every unquoted scalar as text, except null; a key is text even where it is null."""

    def __init__(self, stream: bytes, name: str) -> None:
        super().__init__(stream)
        self.name = name
        self.guessed: set[str] = set()

    def compose_mapping_node(self, anchor: Any) -> Any:
        """The mapping with its keys as text, each there once; later, merged keys come in, which may repeat them."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for index, (key, value) in enumerate(node.value):
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if key.value in seen:
                raise ValueError(
                    f"has the key {key.value!r} twice in a mapping, again in line {key.start_mark.line + 1}"
                )
            seen.add(key.value)
            if key.style is None and _guess(key.value) not in (_TEXT, _MERGE):
                self.guessed.add(key.value)
            text = yaml.ScalarNode(_TEXT, key.value, key.start_mark, key.end_mark, style=key.style)
            node.value[index] = (text, value)
        return node

    def construct_text(self, node: Any) -> str:
        """The scalar as text, whatever YAML 1.1 takes it for."""
        text = str(self.construct_scalar(node))
        return Written(text) if node.style is None else text


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in kinds if tag in (_NULL, _MERGE)]
    for first, kinds in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind in (_TEXT, *_GUESSED):
    _Loader.add_constructor(_kind, _Loader.construct_text)


def load_mapping(path: str) -> tuple[dict[str, Any], set[str]]:
    """The file's content, {} where it is empty, and those of its keys that YAML 1.1 would not read as text.

    Scalars are text (Written where they are not quoted), except unquoted nulls, which are None. The file is in UTF-8
    or, with a byte order mark, in UTF-16. Raises OSError for a file that cannot be read, and ValueError for one that is
    no YAML, has a key twice in a mapping, or is no mapping at all.
    """
    content_bytes = Path(path).read_bytes()
    try:
        loader = _Loader(content_bytes, path)
        content = loader.get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError("is nested too deeply to be read") from None
    if content is None:
        return {}, set()
    if not isinstance(content, dict):
        raise ValueError("must be a mapping of names to values, such as  namespace: ./data")
    return content, loader.guessed


def _guess(text: str) -> str:
    """The tag of what YAML 1.1 takes the unquoted text for."""
    resolver: Any = yaml.SafeLoader(b"")  # PyYAML has no types for it.
    return str(resolver.resolve(yaml.ScalarNode, text, (True, False)))
