"""Names and text as SQL, for statements that cannot bind values, such as DDL, and for replaceWhere."""


def quote_name(name: str) -> str:
    """The name as one quoted SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def quote_text(text: str) -> str:
    """The text as a SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
