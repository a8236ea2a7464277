"""Every Python and shell snippet of the README and of docs/ runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.snippets import ROOT, Snippet, documents, snippets

ALL = [snippet for document in documents() for snippet in snippets(document)]


class Outcomes:
    def __init__(self, errors: dict[str, str], output: str):
        self.errors, self.output = errors, output


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """All snippets, executed in one process with one Ray."""
    folder = tmp_path_factory.mktemp("snippets")
    report = folder / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.session", str(folder), str(report)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert report.exists(), done.stdout[-4000:]
    return Outcomes(json.loads(report.read_text(encoding="utf-8")), done.stdout)


@pytest.mark.ray
@pytest.mark.parametrize("snippet", ALL, ids=lambda snippet: snippet.name)
def test_snippet_runs(snippet: Snippet, outcomes: Outcomes) -> None:
    error = outcomes.errors.get(snippet.name, f"did not run:\n{outcomes.output[-4000:]}")
    assert not error, error


def test_only_known_languages() -> None:
    """A block of another language would not be executed, or not be seen as one."""
    for document in documents():
        text = (ROOT / document).read_text(encoding="utf-8")
        fences = [line for line in text.splitlines() if line.startswith("```")]
        assert len(fences) % 2 == 0, document
        known = {"```python", "```console", "```bash", "```text", "```yaml"}
        assert set(fences[::2]) <= known, document


@pytest.mark.parametrize("document", documents())
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        if "://" not in target:
            assert Path(ROOT / document).parent.joinpath(target).exists(), target
