#!/usr/bin/env python3
"""Follows each link of a site of HTML within it: the file must be there, and what is named behind "#" in it.

    tools/check_site.py FOLDER      exit code 1: some lead nowhere; addresses elsewhere are not asked

Standard library only.
"""
import html.parser
import pathlib
import re
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """What a page links to, and what in it can be linked to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.names = [], {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = {key: value for key, value in attrs if value is not None}
        self.names |= {attributes[key] for key in ("id", "name") if key in attributes}
        self.links += [attributes[key] for key in ("href", "src") if key in attributes]


def fault(pages, page, link):
    """Why a link leads nowhere; None: it leads somewhere, or elsewhere."""
    if re.match(r"[a-z][a-z0-9+.-]*:|//", link):
        return None
    path, _, name = link.partition("#")
    path = urllib.parse.unquote(path.partition("?")[0])
    target = (page.parent / path).resolve() if path else page
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return "no such file"
    if target in pages and urllib.parse.unquote(name) not in pages[target].names:
        return "nothing of that name there"
    return None


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    pages = {path: Page(path.read_text()) for path in root.rglob("*.html")}
    # 404.html is served from anywhere; its links begin at the site's root.
    links = [(path, link) for path, page in pages.items() if path.name != "404.html" for link in page.links]
    found = sorted({f"{path.relative_to(root)}: {link}: {fault(pages, path, link)}" for path, link in links
                    if fault(pages, path, link)})
    print(*found, f"{len(pages)} pages, {len(links)} links, {len(found)} of them lead nowhere", sep="\n")
    return 1 if found or not links else 0


if __name__ == "__main__":
    sys.exit(main())
