#!/usr/bin/env python3
"""The web page of `edgellm serve` from outside, without a browser: who gets it, its files, their
headers, their size, and that nothing in them is inline or from elsewhere.

    python3 tests/test_serve_web.py EDGELLM MAKE_TINY OUT_DIR

Standard library only; how a server is started and asked is test_serve.py's. In a browser:
tests/web/test_web.py.
"""
import html.parser
import os
import pathlib
import re
import sys
import unittest

import test_serve as serve

setUpModule = serve.setUpModule
WEB = pathlib.Path(__file__).resolve().parent.parent / "web"
MOST = 60000  # bytes of all files
BROWSERS = ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
            "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7", "TEXT/HTML")
HTML = {"Accept": BROWSERS[0]}
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
POLICY = {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'",
          "img-src": "'self'", "connect-src": "'self'", "base-uri": "'none'",
          "form-action": "'none'", "frame-ancestors": "'none'"}


class Page(html.parser.HTMLParser):
    """What it loads, its ids, and what of it is inline."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.ids, self.inline, self.refers = [], [], [], []
        self.is_script = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        self.inline += [name for name in a if name.startswith("on") or name == "style"]
        self.ids += [a["id"]] if "id" in a else []
        self.refers += [a[n] for n in ("for", "aria-labelledby", "aria-describedby", "aria-controls")
                        if n in a]
        if tag in ("script", "link", "img", "iframe"):
            self.loads.append(a.get("src") or a.get("href"))
        if tag == "style" or (tag == "script" and "src" not in a):
            self.inline.append(tag)


def files():
    return sorted(WEB.iterdir())


def path_of(file):
    return "/" if file.name == "index.html" else f"/web/{file.name}"


class Files(serve.Case):
    def get(self, path, headers=None, method=None):
        return self.server.ask(path, headers={**HTML, **(headers or {})}, method=method)

    def test_all_are_there(self):
        for file in files():
            status, headers, body = self.get(path_of(file))
            self.assertEqual(status, 200, file)
            self.assertEqual(body, file.read_text(), file)
            self.assertEqual(headers["content-type"], TYPES[file.suffix], file)
            self.assertEqual(headers["content-length"], str(file.stat().st_size))
        self.assertEqual(self.get("/web/")[0], 404)
        self.assertEqual(self.get("/web/index.html")[0], 404)

    def test_size(self):
        self.assertLess(sum(file.stat().st_size for file in files()), MOST)

    def test_headers(self):
        for file in files():
            _, headers, _ = self.get(path_of(file))
            policy = dict(part.strip().split(" ", 1)
                          for part in headers["content-security-policy"].split(";"))
            self.assertEqual(policy, POLICY)
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["referrer-policy"], "no-referrer")
            self.assertEqual(headers["cache-control"], "no-cache")
            self.assertEqual(headers["vary"], "Accept")

    def test_etag(self):
        tags = set()
        for file in files():
            path = path_of(file)
            tag = self.get(path)[1]["etag"]
            self.assertRegex(tag, r'\A"[0-9a-f]{8}-[0-9a-f]+"\Z')
            tags.add(tag)
            for known in (tag, f'"other", W/{tag}'):
                status, headers, body = self.get(path, {"If-None-Match": known})
                self.assertEqual((status, headers["etag"], body), (304, tag, ""), path)
            self.assertEqual(self.get(path, {"If-None-Match": '"00000000-1"'})[0], 200)
        self.assertEqual(len(tags), len(files()))

    def test_head(self):
        client = self.server.client()
        for file in files():
            got, heads = {}, {}
            for method in ("HEAD", "GET"):
                client.request(method, path_of(file), headers=HTML)
                response = client.getresponse()
                got[method] = (response.status, len(response.read()))
                heads[method] = sorted(pair for pair in response.getheaders()
                                       if pair[0].lower() != "x-request-id")
            self.assertEqual(got, {"HEAD": (200, 0), "GET": (200, file.stat().st_size)})
            self.assertEqual(heads["HEAD"], heads["GET"])
        client.close()

    def test_many_on_one_connection(self):
        client = self.server.client()
        for _ in range(20):
            for file in files():
                client.request("GET", path_of(file), headers=HTML)
                self.assertEqual(client.getresponse().read(), file.read_bytes())
        client.close()

    def test_other_methods(self):
        for path in ("/", "/web/chat.js"):
            status, headers, _ = self.server.ask(path, {}, headers=HTML)
            self.assertEqual((status, headers["allow"]), (405, "GET"))
        self.still_works()


class Choice(serve.Case):
    """Browsers get the page, others the line that clients of Ollama look for."""

    def test_browsers(self):
        for accept in BROWSERS:
            _, headers, body = self.server.ask("/", headers={"Accept": accept})
            self.assertEqual(headers["content-type"], TYPES[".html"])
            self.assertTrue(body.startswith("<!doctype html>"))

    def test_others(self):
        for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}, {"Accept": "text/plain"},
                        {"Accept": "text/ht" + "m" * 600}):
            status, got, body = self.server.ask("/", headers=headers)
            self.assertEqual((status, got["content-type"], body),
                             (200, "text/plain", "EdgeLLM is running\n"), headers)
            self.assertEqual(got["cache-control"], "no-store")
            self.assertNotIn("content-security-policy", got)

    def test_without(self):
        server = self.start("--no-web")
        self.assertEqual(server.ask("/", headers=HTML)[2], "EdgeLLM is running\n")
        for file in files():
            if file.name != "index.html":
                self.is_error(server.ask(path_of(file)), 404, None, "there is no /web/")
        self.still_works(server)
        self.ends_well(server)

    def test_keys(self):
        server = self.start(env={**os.environ, "EDGELLM_API_KEY": "secret"})
        for file in files():
            self.assertEqual(server.ask(path_of(file), headers=HTML)[0], 200)
        self.is_error(server.ask("/v1/models"), 401, None, "key")
        self.ends_well(server)


class Content(unittest.TestCase):
    """Of the files themselves."""

    def setUp(self):
        self.text = {file.name: file.read_text() for file in files()}
        self.page = Page(self.text["index.html"])

    def test_nothing_inline(self):
        self.assertEqual(self.page.inline, [])

    def test_what_is_loaded_is_there(self):
        loaded = {name.removeprefix("web/") for name in self.page.loads}
        for name, text in self.text.items():
            loaded |= set(re.findall(r'from "\./([^"]+)"', text))
        self.assertEqual(loaded, set(self.text) - {"index.html"})

    def test_nothing_from_elsewhere(self):
        for name, text in self.text.items():
            text = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
            self.assertNotRegex(text, r"https?://|[\s:]url\(|@import", name)

    def test_text_stays_text(self):
        for name, text in self.text.items():
            self.assertNotRegex(text, r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|"
                                      r"new Function|srcdoc|DOMParser|createContextualFragment", name)

    def test_ids(self):
        ids = self.page.ids
        self.assertEqual(len(ids), len(set(ids)))
        self.assertLessEqual({i for refers in self.page.refers for i in refers.split()}, set(ids))
        named = set(re.findall(r'\$\("([^"]+)"\)', self.text["chat.js"]))
        self.assertTrue(named)
        self.assertLessEqual(named, set(ids))


class Memory(serve.Case):
    """What the page shows of the plan."""

    def test_parts_make_the_total(self):
        meta = self.server.ask("/v1/models")[2]["data"][0]["meta"]
        memory = dict(meta["memory"])
        total = memory.pop("total")
        self.assertEqual(set(memory), {"weights", "tables", "kv_cache", "scratch", "threads", "program",
                                       "server"})
        self.assertEqual(sum(memory.values()), total)
        self.assertEqual(memory["weights"], os.path.getsize(serve.TINY))
        told = float(re.search(r"([\d.]+) MB", self.server.line).group(1))
        self.assertAlmostEqual(total / 1e6, told, delta=0.1)
        self.assertEqual(meta["n_sessions"], 4)
        self.assertGreaterEqual(meta["n_threads"], 1)
        self.assertTrue(meta["kernel"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
