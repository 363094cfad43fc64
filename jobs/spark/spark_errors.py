"""What an error of Spark says, on one line: what failed, with the file, and the innermost cause."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import unquote

from jobs.terminal.display import printable

# Longest line, longest cause on it, longest type or value in it: Spark quotes rows, which may be documents.
WIDTH, CAUSE_WIDTH, TYPE_WIDTH = 500, 200, 60
NUM_COLUMNS = 3

# Lines of Java's stack, which stand between the messages.
_STACK = re.compile(r"\s+(at |\.\.\. \d|Suppressed: |Caused by: )|(Driver|JVM) stacktrace:")
_CAUSE = re.compile(r"(?:: |Caused by: )((?:[\w$]+\.)+[\w$]+)(?:: (.*))?")
_CLASS = re.compile(r"((?:[a-z]\w*\.)+[A-Z][\w$]*)(?:: |$)")
# Text before an error that says nothing of it.
_AROUND = re.compile(
    r"Job aborted due to stage failure: .*?most recent failure: Lost task [\d.]+ in stage [\d.]+ \(TID \d+\) \(.*?\): |"
    r"\[STREAM_FAILED\] Query \[.*?\] terminated with exception: |Exception thrown in awaitResult: ?|"
    r"(Job|Writing job) aborted\.?$|Unable to close resource$"
)
_VALUE = re.compile(r"(?<=The value ').+(?=' of the type )", re.DOTALL)
_READING = "error while reading file"
# What to add to messages that few people understand.
_IN_WORDS = {
    "Unexpected end of (input|ZLIB)|Truncated source": "the file is cut off",
    "Expected magic number|length is too low": "the file is cut off, or no Parquet",
    "Relative path in absolute URI": "Spark reads no file with a colon in its name; rename it",
    "Frame requires too much memory": "its window is longer than Spark reads (zstd --long); compress it without --long",
    r"^An error occurred while calling [\w.]+$|Answer from Java side|Error while sending or receiving": (
        "Spark's JVM has ended, perhaps for lack of memory"
    ),
}


class _Cause(NamedTuple):
    name: str
    message: str


def is_spark_error(error: BaseException) -> bool:
    """Whether Spark, its JVM or the connection to it raised the error."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return isinstance(error, (Py4JError, PySparkException))


def explains_itself(error: BaseException) -> bool:
    """Whether Spark refused a query before it ran: then what it says is all there is."""
    from pyspark.errors import AnalysisException

    return isinstance(error, AnalysisException)


@contextmanager
def spark_reasons(doing: str) -> Iterator[None]:
    """Turn Spark's errors inside the block into a ValueError: what was being done, and why it failed."""
    try:
        yield
    except Exception as error:
        if not is_spark_error(error):
            raise
        raise ValueError(f"{printable(doing)}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """What a Spark error says, on a line of at most WIDTH characters: the file, the innermost cause; no Java stack."""
    said = [text for text in map(_in_short, _causes(error)) if text]
    if not said:
        return type(error).__name__
    head, cause = next((text for text in said if _READING in text), said[0]), said[-1]
    line = head
    if cause != head and not explains_itself(error):
        # Name the file only once.
        first, _, rest = cause.partition(" ")
        cause = f"it {rest}" if "/" in first and first in head else cause
        if not _words(cause) <= _words(head):
            cause = printable(cause, CAUSE_WIDTH)
            line = f"{printable(head, WIDTH - len(cause) - 2)}: {cause}"
    words = next((f" ({words})" for pattern, words in _IN_WORDS.items() if re.search(pattern, line)), "")
    return printable(line, WIDTH - len(words)) + words


def _causes(error: BaseException) -> list[_Cause]:
    """The error and its causes, outermost first, by their texts: Spark Connect has no more than those."""
    try:
        text = str(error)
    except Exception:  # The text comes from the JVM, which may be gone.
        return []
    text = re.sub(r"\AAn error occurred while calling .*\n(?=: )", "", text)
    causes = _blocks(text)
    # The text of an error that PySpark knows has no causes.
    stack = getattr(error, "_stackTrace", None) or getattr(error, "_stacktrace", None)
    return causes + (_blocks(stack)[1:] if len(causes) == 1 and isinstance(stack, str) else [])


def _blocks(text: str) -> list[_Cause]:
    blocks: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        if start := _CAUSE.fullmatch(line):
            blocks.append((start[1], [start[2] or ""]))
        elif not _STACK.match(line):
            blocks[-1][1].append(line)
    causes = [_Cause(name, "\n".join(lines).strip()) for name, lines in blocks]
    return [cause for cause in causes if cause.name or cause.message]


def _in_short(cause: _Cause) -> str:
    """What the cause itself says, on one line; empty where it only wraps another one."""
    name, message = cause
    if "Traceback (most recent call last)" in message:
        return _of_python(message)
    while inner := _CLASS.match(message) or _AROUND.match(message):
        name = inner[1] if inner.re is _CLASS else ""
        message = message[inner.end() :]
    if not message:
        return _class_in_words(name)
    if "Failed merging schemas" in message:
        return _merging(message)
    # The value may be a document where a number was expected.
    message = _VALUE.sub(lambda value: printable(value[0], TYPE_WIDTH), message)
    first, *more = [line.strip() for line in message.splitlines() if line.strip()]
    if more and (first.endswith(":") or more[0].startswith("- ")):
        first += f" {printable(more[0], CAUSE_WIDTH)}"
    # Drop advice for the author of the query: whoever reads this did not write it.
    first = re.sub(r"\s*SQLSTATE: \w{5}|\. Please check the data types of the columns being merged.*", "", first)
    first = _plain_paths(first.rstrip(" .;"))
    # The message of one of Java's own errors, or a mere name, says nothing without the class.
    bare = name.endswith("Error") or name.startswith("java.nio.file.") or " " not in first
    return f"{_simple(name)}: {first}" if name and bare else first


def _of_python(message: str) -> str:
    """What a Python worker's error says: the line below its stack, whose own lines are indented."""
    others = "Traceback|During|The above|JVM|Caused by"
    messages: list[str] = re.findall(rf"^[ \t].*\n(?=\S)(?!{others})(.+)$", message, re.MULTILINE)
    return (messages or message.splitlines())[-1].rstrip(" .;")


def _class_in_words(name: str) -> str:
    simple = _simple(name)
    return f"unexpected end of input ({simple})" if simple == "EOFException" else simple


def _simple(name: str) -> str:
    return re.split(r"[.$]", name)[-1]


def _merging(message: str) -> str:
    """Which columns have different types in two files; Spark itself shows both schemas whole."""
    schemas = [_fields(struct) for struct in re.findall(r'"STRUCT<(.*)>"', message)]
    first = message.splitlines()[0].strip()
    if len(schemas) != 2:
        return first.rstrip(":")
    one, other = schemas
    differing = [
        f"{printable(name, TYPE_WIDTH)} is {printable(one[name], TYPE_WIDTH)} in one file and "
        f"{printable(other[name], TYPE_WIDTH)} in another"
        for name in one
        if name in other and one[name] != other[name]
    ]
    return f"{first} {'; '.join(differing[:NUM_COLUMNS])}"


def _fields(struct: str) -> dict[str, str]:
    """The types of a struct's fields by name; commas inside <>, () and backquotes do not separate fields."""
    fields, depth, begin, quoted = [], 0, 0, False
    for index, char in enumerate(struct):
        quoted ^= char == "`"
        if not quoted:
            depth += (char in "<(") - (char in ">)")
            if char == "," and depth == 0:
                fields.append(struct[begin:index])
                begin = index + 1
    fields.append(struct[begin:])
    pairs = [re.match(r"\s*(`(?:[^`]|``)*`|[^:]*): (.*)", field, re.DOTALL) for field in fields]
    return {pair[1]: pair[2] for pair in pairs if pair}


def _plain_paths(text: str) -> str:
    """The text with paths of this machine as people write them; Spark writes a space as %20 after file:///."""
    decoded = re.sub(r"file://(/\S*)", lambda path: unquote(path[1]), text)
    return re.sub(r"\bfile:(?=/)", "", decoded)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\s\"'.,;:()]+", text.lower()))
