#!/usr/bin/env python3
"""Draws the picture of README: runs hwctl on its lab host and writes what it prints as an SVG.

    cargo build && docs/img/record.py HWCTL     # as root; HWCTL is the binary that was built

The commands are run as they are shown. The lab host `lab1` is provisioned first if it has to be, and stays.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

COLUMNS = 92
FOLDER = tempfile.TemporaryDirectory()
CELL, LINE, MARGIN, BAR = 8.4, 20, 20, 36
CHANGE = ("--lab", "--set", "sites.site2.allow=[192.0.2.0/24]")
SHOWN = [("plan", *CHANGE), ("provision", *CHANGE), ("provision", *CHANGE)]
STYLE = """
  svg { --paper: #f6f8fa; --edge: #d0d7de; --ink: #1f2328; --soft: #59636e;
        --red: #b3261e; --green: #116329; --magenta: #8a3ffc; --cyan: #0b6e8f }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #161b22; --edge: #3d444d; --ink: #e6edf3; --soft: #9198a1;
          --red: #ff8078; --green: #56d364; --magenta: #c99bff; --cyan: #56c8e8 }
  }
  rect { fill: var(--paper); stroke: var(--edge) }
  circle { fill: var(--edge) }
  text { fill: var(--ink); font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace;
         white-space: pre }
  .bold { font-weight: bold }
  .soft { fill: var(--soft) }
  .red { fill: var(--red) }
  .green { fill: var(--green) }
  .magenta { fill: var(--magenta) }
  .cyan { fill: var(--cyan) }
"""
COLORS = {"31": "red", "32": "green", "35": "magenta", "36": "cyan", "1": "bold"}


def run(binary, arguments):
    """What hwctl prints, with its colors."""
    variables = dict(os.environ, CLICOLOR_FORCE="1")
    done = subprocess.run(
        [binary, *arguments], cwd=FOLDER.name, env=variables, capture_output=True, text=True
    )
    if done.returncode not in (0, 3):
        sys.exit(f"hwctl {' '.join(arguments)} fails: {done.stdout}{done.stderr}")
    return done.stdout.rstrip("\n").split("\n")


def segments(line):
    """The line as pieces of one style each: its classes and its text."""
    classes = []
    for piece in re.split(r"(\x1b\[[0-9;]*m)", line):
        code = re.fullmatch(r"\x1b\[([0-9;]*)m", piece)
        if code is None:
            if piece:
                yield list(classes), piece
        elif code[1] in ("", "0"):
            classes = []
        else:
            classes += [COLORS[number] for number in code[1].split(";") if number in COLORS]


def draw_line(row, line):
    """A line as SVG. Each piece has its place, so that any font keeps the columns."""
    drawn, column = [], 0
    for classes, text in segments(line):
        text = text[: COLUMNS - column]
        x, y = MARGIN + column * CELL, BAR + (row + 1) * LINE
        style = f' class="{" ".join(classes)}"' if classes else ""
        length = f' textLength="{len(text) * CELL:.1f}"' if text.strip() else ""
        drawn.append(f'<text x="{x:.1f}" y="{y}"{length}{style}>{escape(text)}</text>')
        column += len(text)
    return "".join(drawn)


def draw(lines):
    """All lines in the window of a terminal."""
    width = 2 * MARGIN + COLUMNS * CELL
    height = BAR + (len(lines) + 1) * LINE
    dots = "".join(f'<circle cx="{MARGIN + 18 * dot}" cy="18" r="6"/>' for dot in range(3))
    rows = "\n".join(draw_line(row, line) for row, line in enumerate(lines) if line)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" role="img">\n'
        f"<title>hwctl plan and hwctl provision in a terminal</title>\n<style>{STYLE}</style>\n"
        f'<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8"/>\n'
        f"{dots}\n{rows}\n</svg>\n"
    )


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    binary = str(Path(sys.argv[1]).resolve())
    # With passwords of its own, of which hwctl does not warn.
    run(binary, ["init"])
    run(binary, ["provision", "--lab"])
    lines = []
    for arguments in SHOWN:
        lines += [f"\x1b[36m$\x1b[0m \x1b[1mhwctl {shlex.join(arguments)}\x1b[0m"]
        lines += run(binary, arguments) + [""]
    target = Path(__file__).with_name("terminal.svg")
    target.write_text(draw(lines[:-1]), encoding="utf-8")


main()
