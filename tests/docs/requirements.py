"""Which tests hold which requirement: what docs/requirements.md lists.

    python -m tests.docs.requirements

writes the last column of its tables anew. A test belongs to the requirements that its name
(`test_t4_7_...`) or its docstring (`T4.7`) names.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from tests.docs.snippets import ROOT

TABLE = ROOT / "docs" / "requirements.md"
NO_TEST = "-"

_ROW = re.compile(r"^\| (T\d+\.\d+) \| (.*?) \| (.*?) \|$", re.MULTILINE)


def listed() -> dict[str, list[str]]:
    """Requirement -> tests (`file::name`), as the document has them."""
    text = TABLE.read_text(encoding="utf-8")
    return {row[1]: re.findall(r"`([^`]+::\w+)`", row[3]) for row in _ROW.finditer(text)}


def found() -> dict[str, list[str]]:
    """Requirement -> tests, as the test files have them."""
    tests: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted([*ROOT.glob("tests/**/test_*.py"), ROOT / "tests" / "conformance.py"]):
        file = path.relative_to(ROOT).as_posix()
        for name, test in _functions(ast.parse(path.read_text(encoding="utf-8")).body):
            for number in _numbers(test):
                tests[number].append(f"{file}::{name}")
    return dict(tests)


def rewritten(text: str, tests: dict[str, list[str]]) -> str:
    """The document with these tests in its tables."""

    def row(match: re.Match[str]) -> str:
        names = dict.fromkeys(tests.get(match[1], []))
        shown = "<br>".join(f"`{name}`" for name in names) or NO_TEST
        return f"| {match[1]} | {match[2]} | {shown} |"

    return _ROW.sub(row, text)


def _functions(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Tests, also those in classes, with their names as pytest has them."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{within}{node.name}::")
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield within + node.name, node


def _numbers(test: ast.FunctionDef) -> list[str]:
    in_name = re.match(r"test_t(\d+)_(\d+)(?:_|$)", test.name)
    numbers = [f"T{in_name[1]}.{in_name[2]}"] if in_name else []
    return numbers + re.findall(r"\bT\d+\.\d+\b", ast.get_docstring(test) or "")


if __name__ == "__main__":
    TABLE.write_text(rewritten(TABLE.read_text(encoding="utf-8"), found()), encoding="utf-8")
