#!/usr/bin/env python3
"""Links of the documents: files that are there, headings that are there. Addresses of the web are not asked.

    python3 tests/test_links.py SOURCE_DIR

Standard library only.
"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv[1]).absolute()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("python/*.md"),
                    *ROOT.glob(".github/*.md")])


def prose(text):
    """Without code, in which brackets are brackets."""
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.M | re.S)
    text = re.sub(r"(?m)^(?: {4}|\t).*$", "", text)
    return re.sub(r"(`+).+?\1", "", text, flags=re.S)


def links(text):
    return re.findall(r"\]\(<?([^()<>\s]+(?:\([^()]*\))?)>?(?:\s+\"[^\"]*\")?\)", prose(text))


def anchors(path):
    """Of its headings, as GitHub and MkDocs make them; the second of a name has -1 behind it."""
    seen, found = {}, set()
    for heading in re.findall(r"(?m)^#{1,6}\s+(.*?)\s*#*$", path.read_text()):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).strip().replace(" ", "-")
        found.add(plain if plain not in seen else f"{plain}-{seen[plain]}")
        seen[plain] = seen.get(plain, 0) + 1
    return found


def fault(document, link):
    """Why a link leads nowhere; None: it leads somewhere, or into the web."""
    if re.match(r"[a-z][a-z0-9+.-]*:", link):
        return None
    name, _, anchor = link.partition("#")
    target = (document.parent / name).resolve() if name else document
    if not target.is_relative_to(ROOT):
        return "leads out of the repository"
    if not target.exists():
        return "no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return "no such heading"
    return None


class Links(unittest.TestCase):
    def test_all(self):
        number = 0
        for document in DOCUMENTS:
            for link in links(document.read_text()):
                number += 1
                self.assertIsNone(fault(document, link), f"{document.relative_to(ROOT)}: {link}")
        self.assertGreater(number, 100)

    def test_documents_in_words(self):
        """docs/NAME.md in the text of another document, without a link."""
        for document in DOCUMENTS:
            for name in re.findall(r"(?<![\w/])docs/[\w/.-]+\.(?:md|yaml)\b", document.read_text()):
                self.assertTrue((ROOT / name).exists(), f"{document.relative_to(ROOT)}: {name}")

    def test_all_are_on_the_site(self):
        named = re.findall(r"(?m)^ +- (?:[^:\n]+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text())
        there = [str(path.relative_to(ROOT)) for path in DOCUMENTS if ".github" not in path.parts]
        self.assertEqual(sorted(named), sorted(there))

    def test_faults_are_found(self):
        readme = ROOT / "README.md"
        self.assertIsNone(fault(readme, "docs/FORMAT.md"))
        self.assertEqual(fault(readme, "docs/NOTHING.md"), "no such file")
        self.assertEqual(fault(readme, "docs/FORMAT.md#no-such-place"), "no such heading")
        self.assertEqual(fault(readme, "../../etc/passwd"), "leads out of the repository")
        self.assertEqual(links("[a](b.md#c) `[d](e)` ![f](g.png)\n\n    [h](i)\n"), ["b.md#c", "g.png"])

    def test_every_document_is_reached(self):
        """From the README, by links."""
        reached, open_ = set(), [ROOT / "README.md"]
        while open_:
            document = open_.pop()
            if document in reached or document.suffix != ".md" or not document.is_file():
                continue
            reached.add(document)
            open_ += [(document.parent / link.partition("#")[0]).resolve() for link in links(document.read_text())
                      if not re.match(r"[a-z][a-z0-9+.-]*:", link)]
        left = {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")} - {
            str(path.relative_to(ROOT)) for path in reached}
        self.assertEqual(left, set())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
