#!/usr/bin/env python3
"""Links of the documents: files that are there and on the site (tools/site.sh), headings that are there, by GitHub's
names and by MkDocs'. Addresses of the web are not asked, but must be ones.

    python3 tests/test_links.py SOURCE_DIR

Standard library only.
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import unicodedata
import unittest
import urllib.parse

ROOT = pathlib.Path(sys.argv[1]).absolute()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("python/*.md"),
                    *ROOT.glob("models/*.md"), *ROOT.glob("examples/*.md"),
                    *ROOT.glob(".github/**/*.md")])
# What tools/site.sh gives MkDocs to read.
ON_SITE = re.search(r"(?m)^for name in (.*); do$", (ROOT / "tools" / "site.sh").read_text())[1].split()


def prose(text):
    """Without code, in which brackets are brackets."""
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.M | re.S)
    text = re.sub(r"(?m)^(?: {4}|\t).*$", "", text)
    return re.sub(r"(`+).+?\1", "", text, flags=re.S)


def links(text):
    """[text](link "title"), [text]: link, <http://link>, and those of HTML."""
    text = prose(text)
    return [next(filter(None, found)) for found in re.findall(
        r"\]\(<?([^()<>\s]+(?:\([^()]*\))?)>?(?:\s+\"[^\"]*\")?\)|^ {0,3}\[[^]]+\]:\s+<?([^\s>]+)|"
        r"<(https?:[^\s>]*)>|<\w[^>]* (?:href|src)=[\"']([^\"']+)", text, re.M)]


def headings(path):
    """Their texts, without what is code, and without where links in them lead."""
    text = re.sub(r"^(```|~~~).*?^\1", "", path.read_text(), flags=re.M | re.S)
    return [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
            for heading in re.findall(r"(?m)^#{1,6}\s+(.*?)\s*#*$", text)]


def of_github(text):
    return re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")


def of_mkdocs(text):
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def anchors(path, slug, between):
    """Of its headings; the second of a name has 1 behind it."""
    seen, found = {}, set()
    for heading in headings(path):
        plain = slug(heading)
        found.add(plain if plain not in seen else f"{plain}{between}{seen[plain]}")
        seen[plain] = seen.get(plain, 0) + 1
    return found


def fault_of_address(link):
    """Of an address elsewhere: what is wrong with how it is written."""
    address = urllib.parse.urlsplit(link)
    if address.scheme == "mailto":
        return None if re.fullmatch(r"[^@\s]+@[^@\s]+", address.path) else "no address of mail"
    if address.scheme not in ("http", "https"):
        return "neither of the web nor of mail"
    if not re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}|localhost|127\.0\.0\.1", address.hostname or ""):
        return "no name of a host"
    return None if re.fullmatch(r"[!-~]+", link) and not re.search(r"%(?![0-9A-Fa-f]{2})", link) else "letters that it cannot have"


def fault(document, link):
    """Why a link leads nowhere; None: it leads somewhere, or into the web."""
    if re.match(r"[a-z][a-z0-9+.-]*:", link):
        return fault_of_address(link)
    name, _, anchor = link.partition("#")
    target = (document.parent / urllib.parse.unquote(name)).resolve() if name else document
    if not target.is_relative_to(ROOT):
        return "leads out of the repository"
    if not target.exists():
        return "no such file"
    inside = target.relative_to(ROOT).parts
    if target.is_dir():
        return "a folder: the site shows none"
    if ".github" not in document.relative_to(ROOT).parts and inside[0] not in ON_SITE:
        return "not on the site: tools/site.sh"
    if anchor and target.suffix == ".md" and anchor not in anchors(target, of_github, "-"):
        return "no such heading"
    if anchor and target.suffix == ".md" and anchor not in anchors(target, of_mkdocs, "_"):
        return "no such heading on the site, where it is called otherwise"
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
        self.assertEqual(fault(readme, "examples"), "a folder: the site shows none")
        self.assertEqual(fault(readme, "CMakeLists.txt"), "not on the site: tools/site.sh")
        self.assertEqual(links("[a](b.md#c) `[d](e)` ![f](g.png)\n\n    [h](i)\n"), ["b.md#c", "g.png"])
        self.assertEqual(links("[j]: k.md\n<img src=\"l.svg\"> <https://m.org> [n](o_(p) \"q\")\n"),
                         ["k.md", "l.svg", "https://m.org", "o_(p)"])

    def test_faults_of_addresses(self):
        for link in ("https://example.org/a_b?c=%20d#e", "http://127.0.0.1:8080/", "http://localhost:1", "mailto:a@b.org"):
            self.assertIsNone(fault(ROOT / "README.md", link), link)
        for link in ("https:/example.org", "https://", "https://example", "htps://example.org", "https://example.org/%2",
                     "https://exämple.org", "https://example.org/ä", "mailto:nobody", "javascript:alert(1)"):
            self.assertIsNotNone(fault(ROOT / "README.md", link), link)

    def test_names_of_headings(self):
        """What GitHub and MkDocs make of the same heading."""
        for text, github, mkdocs in (("A first: heading", "a-first-heading", "a-first-heading"),
                                     ("Time - and `more`", "time---and-more", "time-and-more"),
                                     ("Größe", "größe", "groe")):
            self.assertEqual((of_github(text), of_mkdocs(text)), (github, mkdocs))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.md"
            path.write_text("# One\n```\n# no heading\n```\n## One\n### [Two](b.md) ##\n")
            self.assertEqual(anchors(path, of_github, "-"), {"one", "one-1", "two"})
            self.assertEqual(anchors(path, of_mkdocs, "_"), {"one", "one_1", "two"})

    def test_pages_of_the_site(self):
        """tools/check_site.py, which follows the links of what MkDocs made."""
        def check():
            return subprocess.run([sys.executable, ROOT / "tools" / "check_site.py", folder], capture_output=True, text=True,
                                  timeout=60, check=False)
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "a").mkdir()
            (pathlib.Path(folder) / "a" / "index.html").write_text('<h1 id="here"></h1><a href="../#there">')
            page = pathlib.Path(folder) / "index.html"
            page.write_text('<a href="a/#here"><p id="there"><a href="https://example.org/nothing"><img src="a/index.html">')
            self.assertEqual((check().returncode, check().stdout), (0, "2 pages, 4 links, 0 of them lead nowhere\n"))
            page.write_text('<a href="a/#nowhere"><img src="b.png">')
            self.assertEqual(check().stdout, "a/index.html: ../#there: nothing of that name there\n"
                             "index.html: a/#nowhere: nothing of that name there\nindex.html: b.png: no such file\n"
                             "2 pages, 3 links, 3 of them lead nowhere\n")
            self.assertEqual(check().returncode, 1)
            page.write_text("no link")
            (pathlib.Path(folder) / "a" / "index.html").unlink()
            self.assertEqual(check().returncode, 1)

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
