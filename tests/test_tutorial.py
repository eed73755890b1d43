"""What the tutorial on measured data quotes is what its commands print.

Words are compared as they are, numbers to 5 %: on another processor the
search of the model ends at another particle.
"""

import pathlib
import re
import shlex
import shutil

import pytest

from diffpy_cbldm.commands import cbldm, examples

PAGE = (
    pathlib.Path(__file__).resolve().parent.parent
    / "docs/tutorials/measured_data.md"
)
SAYS = ("Instrument:", "Answer:", "It fits", "To know:", "No test", "Sizes:")
"""How lines begin that are compared; rows of tables hang on near-ties."""

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def sections():
    """Title and text of each section."""
    parts = re.split(r"^## (.+)$", PAGE.read_text("utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def quoted(text):
    """What a section says that its command prints."""
    lines = [
        line
        for block in re.findall(r"^```text\n(.*?)^```", text, re.M | re.S)
        for line in block.splitlines()
        if line.startswith(SAYS)
    ]
    for quote in re.findall(r"(?:^> .*\n)+", text, re.M):
        lines.append(" ".join(re.sub("^> ", "", quote, flags=re.M).split()))
    return lines


def numbers(line):
    return [float(n.replace(",", "")) for n in NUMBER.findall(line)]


@pytest.mark.parametrize(
    ("title", "also"),
    [
        ("All generators", "The warnings"),
        ("Many sizes?", None),
        ("Without the standard", None),
    ],
)
def test_quotes_are_printed(title, also, tmp_path, monkeypatch, capfd):
    platinum = examples.find("Pt-nanoparticles").path()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(platinum, "platinum.gr")
    shutil.copy(platinum.with_name("Ni.gr"), "Ni.gr")
    text = sections()[title]
    (command,) = re.findall(r"^cbldm .*$", text, re.M)
    assert cbldm.main(shlex.split(command)[1:]) == 0
    printed = {}
    for line in "\n".join(capfd.readouterr()).splitlines():
        line = line.removeprefix("cbldm: warning: ")
        printed.setdefault(NUMBER.sub("#", line), []).append(numbers(line))
    lines = quoted(text + (sections()[also] if also else ""))
    assert lines
    for line in lines:
        told = printed.get(NUMBER.sub("#", line))
        assert told, f"not printed: {line}"
        assert any(numbers(line) == pytest.approx(n, rel=0.05) for n in told)
