#!/usr/bin/env python3
"""Takes the pictures out of the page that `edgellm bench --html` writes, as files that stand alone.

    tools/report_pictures.py REPORT.html DIR

Each histogram, timeline and plot over positions becomes DIR/BACKEND-KIND.svg: well-formed, below
60 KB, with a title and the names of its axes, and readable on light and dark pages. What only a page
can show, the causes that appear where one points at an outlier, is left out. Standard library only.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from html import unescape

MOST_BYTES = 60_000
SVG = "http://www.w3.org/2000/svg"
ABOVE, BELOW, WIDTH = 24, 18, 960  # room for the title and the name of the axis; the page's width
# Section of the page: the kind in a file's name, the title's words, and the axes' names.
KINDS = {
    "whole request": ("request", "whole requests", "milliseconds", "requests"),
    "first token": ("first", "first token", "milliseconds", "requests"),
    "between tokens": ("gaps", "between tokens", "milliseconds", "tokens"),
    "Every token over time": ("timeline", "every token over time", "seconds", "gap"),
    "Gap by position in the context": ("positions", "gap by position in the context", "tokens",
                                       "median gap"),
}
STYLE = """
text{font:11px system-ui,sans-serif;fill:#6e7781}.t{font-size:14px}.y{text-anchor:end}
.x{text-anchor:middle}.axis{stroke:#8c959f;fill:none}.fit{stroke:#6e7781;stroke-dasharray:4 3;fill:none}
circle{fill:#e0314b}
@media (prefers-color-scheme:dark){text{fill:#b1bac4}.axis{stroke:#6e7681}.fit{stroke:#b1bac4}}
"""
PART = re.compile(r"<h2>(?P<section>[^<]*)|<h3>(?P<label>[^<:]*)|(?P<picture><svg .*?</svg>)|"
                  r"<b>(?P<who>[^<]*)</b> (?P<server>[^<]*?)(?: at [^<,]*)?, [^<]*<", re.S)


def pictures(page):
    """Yields the section, the backend's label, what it is, and the picture as it stands there."""
    servers, section, label = {}, None, None
    for part in PART.finditer(page):
        if part["who"] is not None:
            servers[part["who"]] = unescape(part["server"])
        elif part["section"] is not None:
            section = unescape(part["section"])
        elif part["label"] is not None:
            label = unescape(part["label"])
        elif section in KINDS:
            yield section, label, servers.get(label), part["picture"]


def text(parent, words, x, y, **attributes):
    element = ElementTree.SubElement(parent, "text", {"x": str(x), "y": str(y), **attributes})
    element.text = words


def stand_alone(section, label, server, picture):
    """The picture's bytes, with all that the page gave it."""
    inner = ElementTree.fromstring(picture)
    height = int(inner.get("viewBox").split()[3])
    _, words, x_axis, y_axis = KINDS[section]
    title = f"{server} ({label}): {words}" if server else f"{label}, which only reads the weights: {words}"
    whole = ElementTree.Element("svg", {"xmlns": SVG, "role": "img",
                                        "viewBox": f"0 0 {WIDTH} {ABOVE + height + BELOW}"})
    ElementTree.SubElement(whole, "title").text = title
    ElementTree.SubElement(whole, "style").text = STYLE
    text(whole, title, 4, 16, **{"class": "t"})
    text(whole, y_axis, 0, 0, **{"class": "x", "transform": f"translate(11 {ABOVE + height // 2}) rotate(-90)"})
    text(whole, x_axis, WIDTH // 2, ABOVE + height + BELOW - 6, **{"class": "x"})
    drawn = ElementTree.SubElement(whole, "g", {"transform": f"translate(0 {ABOVE})"})
    for child in list(inner):
        if child.tag == "circle":
            for cause in list(child):
                child.remove(cause)
        if child.tag != "title":
            drawn.append(child)
    return ElementTree.tostring(whole, encoding="utf-8") + b"\n"


def file_name(section, label):
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") + f"-{KINDS[section][0]}.svg"


def main(arguments):
    if len(arguments) != 2:
        sys.exit(__doc__.split("\n\n")[1])
    page, folder = (pathlib.Path(argument) for argument in arguments)
    try:
        found = list(pictures(page.read_text(encoding="utf-8")))
        if not found:
            sys.exit(f"report_pictures: '{page}' has no pictures: is it a page of edgellm bench --html?")
        folder.mkdir(parents=True, exist_ok=True)
        for section, label, server, picture in found:
            content = stand_alone(section, label, server, picture)
            path = folder / file_name(section, label)
            if len(content) > MOST_BYTES:
                sys.exit(f"report_pictures: '{path}' would have {len(content)} bytes, {MOST_BYTES} at most")
            path.write_bytes(content)
            print(f"{path}  {len(content)} bytes")
    except (OSError, UnicodeDecodeError, ElementTree.ParseError) as error:
        sys.exit(f"report_pictures: {page}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
