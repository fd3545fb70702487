#!/usr/bin/env python3
"""The web page of `edgellm serve` in a browser: asks, streams, stops, loses its connection, meets
errors, on narrow screens, by keyboard alone, in the dark. What it shows is compared with what the
server answers over HTTP. No test passes with an error in the console or something that the page's
policy had to stop.

    python3 tests/web/test_web.py EDGELLM MAKE_TINY OUT_DIR CHROMIUM

Needs Playwright's Python package; the browser is the system's (`make test-web`). Pictures of what was
seen lie in OUT_DIR afterwards.
"""
import os
import pathlib
import re
import signal
import socket
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import test_serve as serve
from playwright.sync_api import expect, sync_playwright

CHROMIUM = sys.argv[4]
TRIES = 6  # where an answer may end by chance before something is done
EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "stream.html"
PICTURES = serve.OUT / "pictures"
WAIT = 30000  # ms in which anything has happened
QUESTION = "the quick brown fox"
NETWORK = r"WebSocket connection to|Failed to load resource"  # the browser's own words for a lost server
READY = "#state[data-state=good]"
playwright = browser = None


def setUpModule():
    global playwright, browser
    serve.setUpModule()
    PICTURES.mkdir()
    playwright = sync_playwright().start()
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
    expect.set_options(timeout=WAIT)


def tearDownModule():
    browser.close()
    playwright.stop()


class Proxy:
    """Between the page and the server; it cuts what it is told to cut."""

    def __init__(self, port):
        self.target, self.is_down = port, False
        self.cuts = []  # bytes that each of the next WebSockets may carry to the page
        self.lock, self.open = threading.Lock(), set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            head = b"" if self.is_down else client.recv(65536)
            server = socket.create_connection(("127.0.0.1", self.target)) if head else None
        except OSError:
            server = None
        if not server:
            client.close()
            return
        limit = self.cuts.pop(0) if b" /v1/stream" in head and self.cuts else None
        pair = (client, server)
        with self.lock:
            self.open.add(pair)
        server.sendall(head)
        back = threading.Thread(target=self.carry, args=(client, server, None, pair), daemon=True)
        back.start()
        self.carry(server, client, limit, pair)
        back.join()
        client.close()
        server.close()

    def carry(self, source, target, limit, pair):
        try:
            while data := source.recv(1024):
                if limit is not None:
                    data, limit = data[:limit], limit - len(data[:limit])
                target.sendall(data)
                if limit == 0:
                    break
        except OSError:
            pass
        self.cut(pair)

    def cut(self, pair):
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.lock:
            self.open.discard(pair)

    def cut_all(self):
        with self.lock:
            pairs = list(self.open)
        for pair in pairs:
            self.cut(pair)

    def close(self):
        self.listener.close()
        self.cut_all()


class Case(unittest.TestCase):
    options = ("-c", "20000", "--sessions", "2")

    @classmethod
    def setUpClass(cls):
        cls.server = serve.Server(*cls.options, model=serve.LONG)

    @classmethod
    def tearDownClass(cls):
        cls.server.end()

    def open(self, port=None, expected=None, until=READY, path="", **context):
        """A page that is ready. expected: a pattern of what its console may say."""
        context = browser.new_context(**{"viewport": {"width": 1100, "height": 760}, **context})
        self.addCleanup(context.close)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        said = []
        page.on("console", lambda m: m.type in ("error", "warning") and said.append(m.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.add_init_script("window.stopped = []; addEventListener('securitypolicyviolation', "
                             "(event) => stopped.push(event.violatedDirective))")
        self.page, self.expected = page, expected
        page.goto(f"http://127.0.0.1:{port or self.server.port}/{path}")
        if until:
            page.wait_for_selector(until)
        self.addCleanup(self.check_quiet, page, said)
        return page

    def check_quiet(self, page, said):
        said = [text for text in said if not (self.expected and re.search(self.expected, text))]
        self.assertEqual(said, [])
        self.assertEqual(page.evaluate("stopped"), [])

    def picture(self, name):
        self.page.screenshot(path=PICTURES / f"{name}.png")

    def set(self, **settings):
        """In the settings beside the conversation."""
        for name, value in settings.items():
            self.page.fill("#" + name.replace("_", "-"), str(value))

    def exactly(self, n=40, **more):
        """Settings under which an answer is always the same."""
        self.set(max_tokens=n, temperature=0, seed=1, **more)

    def ask(self, question=QUESTION):
        self.page.fill("#prompt", question)
        self.page.press("#prompt", "Enter")

    def answer(self, question=QUESTION):
        """Asks, waits until it is answered; the answer and the line under it."""
        n = self.page.locator(".answered").count()
        self.ask(question)
        answered = self.page.locator(".answered").nth(n)
        meta = answered.locator(".meta")
        meta.wait_for()
        return answered.locator(".text").text_content(), meta.text_content()

    def right(self, *said, n=40):
        """What the server answers over HTTP to these messages of a person and the model in turn."""
        messages = [{"role": ("user", "assistant")[i % 2], "content": text}
                    for i, text in enumerate(said)]
        answer = self.server.answer(serve.CHAT, messages=messages, max_tokens=n, temperature=0, seed=1)
        return answer["choices"][0]["message"]["content"], answer["usage"]["completion_tokens"]

    def figures(self, row):
        return self.page.locator(f"#figures-{row} td").all_text_contents()

    def state(self, words):
        expect(self.page.locator("#state")).to_have_text(re.compile(words))

    def colour(self, selector, what="backgroundColor"):
        return self.page.eval_on_selector(selector, f"(e) => getComputedStyle(e).{what}")

    def has_text(self):
        """An answer has begun."""
        expect(self.page.locator(".answered .text")).to_have_text(re.compile(".{20}", re.S))

    def strip(self):
        return self.page.locator("#strip").screenshot()


# ---- answers -----------------------------------------------------------------------------------

class Answers(Case):
    def test_answer_is_the_servers(self):
        self.open()
        empty = self.strip()
        self.exactly()
        right, n = self.right(QUESTION)
        text, meta = self.answer()
        self.assertEqual(text, right)
        self.assertRegex(meta, rf" \+ {n} tokens · first [\d.]+ ms · P50 [\d.]+ ms · max [\d.]+ ms · "
                               r"[\d.]+ tok/s")
        p50, p99, most, gaps, rate = self.figures("answer")
        self.assertEqual((p99, gaps), ("–", str(n - 1)))
        self.assertLessEqual(0, float(p50))
        self.assertLessEqual(float(p50), float(most))
        self.assertGreater(float(rate), 0)
        self.assertNotEqual(self.strip(), empty)
        self.picture("answer")

    def test_history(self):
        self.open()
        self.exactly()
        first, _ = self.answer()
        second, _ = self.answer("and then")
        self.assertEqual(second, self.right(QUESTION, first.replace("\0", ""), "and then")[0])
        self.page.click("#new")
        self.assertEqual(self.page.locator("article").count(), 0)
        self.assertEqual(self.answer()[0], first)

    def test_system_message(self):
        self.open()
        self.exactly(system="be a fox")
        messages = [{"role": "system", "content": "be a fox"}, *serve.user(QUESTION)]
        right = self.server.answer(serve.CHAT, messages=messages, max_tokens=40, temperature=0)
        self.assertEqual(self.answer()[0], right["choices"][0]["message"]["content"])

    def test_percentiles_of_many(self):
        self.open()
        self.set(max_tokens=700)
        gaps = 0
        while gaps < 1000:  # some end after a few tokens
            self.assertEqual(self.figures("all")[1], "–")
            self.answer()
            own, total = int(self.figures("answer")[3]), int(self.figures("all")[3])
            self.assertEqual((total, self.figures("answer")[1]), (gaps + own, "–"))
            gaps = total
        p50, p99, most, _, _ = map(float, [*self.figures("all")[:4], 0])
        self.assertLessEqual(p50, p99)
        self.assertLessEqual(p99, most)

    def test_text_stays_text(self):
        self.open()
        self.set(max_tokens=2)
        text = "<img src=x onerror=\"document.title='bad'\"><b>bold</b> & <script>1</script>"
        self.answer(text)
        self.assertEqual(self.page.locator(".asked .text").text_content(), text)
        self.assertEqual(self.page.locator("#log img, #log b, #log script").count(), 0)

    def test_policy_works(self):
        page = self.open()
        page.evaluate("() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
                      "document.body.append(s); }")
        self.assertIsNone(page.evaluate("window.ran ?? null"))
        self.assertEqual(page.evaluate("stopped.splice(0)"), ["script-src-elem"])
        self.expected = "Content Security Policy"

    def test_memory_and_facts(self):
        self.open()
        memory = self.server.ask("/v1/models")[2]["data"][0]["meta"]["memory"]
        shown = float(self.page.text_content("#memory-total").removesuffix(" MB"))
        self.assertAlmostEqual(shown, memory["total"] / 1e6, delta=0.06)
        self.assertEqual(self.page.locator("#memory dd").count(), len(memory) - 1)
        self.assertIn("llama", self.page.text_content("#facts"))
        self.assertEqual(self.page.text_content("#model"), "long")

    def test_earlier_answer_is_shown_again(self):
        self.open()
        self.exactly(10)
        self.answer()
        first = self.figures("answer")
        self.set(max_tokens=20)
        self.answer()
        self.assertNotEqual(self.figures("answer"), first)
        self.page.locator(".meta").first.click()
        self.assertEqual(self.figures("answer"), first)


class Stops(Case):
    options = ("-c", "90000", "--sessions", "1")

    def begin(self):
        """An answer that takes long: the likeliest tokens go round in a ring."""
        self.open()
        self.set(temperature=0, seed=1)
        self.ask("again and again")
        self.has_text()

    def is_stopped(self):
        meta = self.page.locator(".meta")
        meta.wait_for()
        self.assertTrue(meta.text_content().startswith("stopped"), meta.text_content())
        self.state("ready")
        self.exactly(5)
        self.answer("again")

    def test_button(self):
        self.begin()
        self.assertFalse(self.page.is_visible("#send"))
        self.page.click("#stop")
        self.is_stopped()
        self.assertTrue(self.page.is_visible("#send"))

    def test_escape(self):
        self.begin()
        self.page.keyboard.press("Escape")
        self.is_stopped()

    def test_new_chat(self):
        self.begin()
        self.page.click("#new")
        self.state("ready")
        self.exactly()
        self.assertEqual(self.answer()[0], self.right(QUESTION)[0])


# ---- the connection ----------------------------------------------------------------------------

class Connection(Case):
    def setUp(self):
        self.proxy = Proxy(self.server.port)
        self.addCleanup(self.proxy.close)

    def open(self, **more):
        return super().open(self.proxy.port, NETWORK, **more)

    def is_right(self, n):
        right, count = self.right(QUESTION, n=n)
        self.page.locator(".meta").wait_for()
        self.assertEqual(self.page.locator(".answered .text").text_content(), right)
        self.assertEqual(self.figures("answer")[3], str(count - 1))

    def test_cut_again_and_again(self):
        self.proxy.cuts = [2000, 3001, 1999, 2500, 777, 4096]
        self.open()
        self.exactly(200)
        self.ask()
        self.is_right(200)
        self.assertEqual(self.proxy.cuts, [])

    def test_cut_before_it_was_accepted(self):
        self.proxy.cuts = [260, 300]  # little more than that it is a WebSocket
        self.open()
        self.exactly(50)
        self.ask()
        self.is_right(50)

    def test_cut_while_idle(self):
        self.open()
        self.exactly(30)
        for _ in range(3):
            self.proxy.cut_all()
            self.page.wait_for_timeout(100)
        self.state("ready")
        self.ask()
        self.is_right(30)

    def test_away_for_a_while(self):
        self.proxy.cuts = [2500]
        self.open()
        self.exactly(100)
        down = threading.Timer(0, lambda: setattr(self.proxy, "is_down", True))
        self.page.wait_for_timeout(500)  # its connection is there: only new ones are refused
        down.start()
        self.ask()
        self.state("connection lost")
        self.page.wait_for_timeout(1500)
        before = self.page.locator(".answered .text").text_content()
        self.assertTrue(before)
        self.picture("lost")
        self.proxy.is_down = False
        self.is_right(100)
        self.assertTrue(self.page.locator(".answered .text").text_content().startswith(before))

    def test_stop_while_away(self):
        self.proxy.cuts = [2500]
        self.open()
        self.exactly(100)
        self.page.wait_for_timeout(500)
        self.proxy.is_down = True
        self.ask()
        self.state("connection lost")
        self.page.keyboard.press("Escape")
        meta = self.page.locator(".meta")
        meta.wait_for()
        self.assertTrue(meta.text_content().startswith("stopped"))


class Gone(Case):
    def test_server_gone_and_back(self):
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.close)
        self.open(proxy.port, NETWORK)
        proxy.is_down = True
        proxy.cut_all()
        self.state("not reached")
        self.picture("gone")
        proxy.is_down = False
        self.state("ready")
        self.exactly()
        self.assertEqual(self.answer()[0], self.right(QUESTION)[0])

    def test_another_server_knows_nothing_of_it(self):
        first = self.start("-c", "20000", model=serve.LONG)
        proxy = Proxy(first.port)
        self.addCleanup(proxy.close)
        proxy.cuts = [2500]
        self.open(proxy.port, NETWORK)
        self.exactly(100)
        proxy.target = self.server.port  # for all connections to come
        self.ask()
        problem = self.page.locator(".problem")
        problem.wait_for()
        self.assertTrue(self.page.locator(".answered .text").text_content())
        problem.get_by_text("Ask again").click()
        again = self.page.locator(".answered").nth(1)
        again.locator(".meta").wait_for()
        self.assertEqual(again.locator(".text").text_content(), self.right(QUESTION, n=100)[0])

    start = serve.Case.start


# ---- errors ------------------------------------------------------------------------------------

class Errors(Case):
    def test_deadline_refused_and_enough(self):
        self.open()
        self.exactly(19000, deadline=100)
        self.ask()
        problem = self.page.locator(".problem")
        problem.wait_for()
        self.assertIn("does not fit into 100 ms", problem.text_content())
        enough = float(problem.locator("dd").nth(1).text_content().removesuffix(" ms"))
        self.assertGreater(enough, 100)
        self.picture("refused")
        button = problem.locator("button").first
        offered = int(re.fullmatch(r"Ask with (\d+) ms", button.text_content()).group(1))
        self.assertLess(abs(offered - enough), 2)
        self.set(deadline=60000, max_tokens=50)  # it is kept, whatever else this machine does
        self.ask()
        meta = self.page.locator(".meta")
        meta.wait_for()
        self.assertRegex(meta.text_content(), r"deadline 60000 ms kept: forecast [\d.]+ ms, took [\d.]+ ms")
        button.click()
        self.assertEqual(self.page.input_value("#deadline"), str(offered))

    def test_too_long(self):
        server = serve.Server("-c", "64", model=serve.TINY)
        self.addCleanup(server.end)
        self.open(server.port)
        self.ask("fox " * 200)
        expect(self.page.locator(".problem")).to_contain_text("begin a new chat")
        self.state("ready")
        self.page.click("#new")
        self.exactly(3)
        self.answer()

    def test_wrong_settings_are_not_sent(self):
        self.open()
        self.set(temperature=9)
        self.ask()
        self.assertEqual(self.page.locator("article").count(), 0)
        self.assertEqual(self.page.input_value("#prompt"), QUESTION)
        self.assertEqual(self.page.evaluate("document.activeElement.id"), "temperature")


class Keys(Case):
    def setUp(self):
        self.keyed = serve.Server("-c", "2000", model=serve.LONG,
                                  env={**os.environ, "EDGELLM_API_KEY": "the/key+is=this"})
        self.addCleanup(self.keyed.end)
        self.open(self.keyed.port, NETWORK, until="#key-form:not([hidden])")

    def give(self, key):
        self.page.fill("#key", key)
        self.page.press("#key", "Enter")

    def test_wrong_then_right(self):
        self.state("API key needed")
        self.give("wrong")
        expect(self.page.locator("#key-note")).to_have_text("The server does not know that key.")
        self.assertEqual(self.page.get_attribute("#key", "aria-invalid"), "true")
        self.picture("key")
        self.give("the/key+is=this")
        self.state("ready")
        self.assertFalse(self.page.is_visible("#key-form"))
        self.assertEqual(self.page.evaluate("sessionStorage.getItem('key')"), "the/key+is=this")
        self.assertEqual(self.page.evaluate("localStorage.length"), 0)
        self.assertEqual(self.page.evaluate("document.cookie"), "")
        self.exactly(10)
        self.answer()
        self.page.reload()
        self.page.wait_for_selector(READY)
        self.page.click("#forget")
        self.state("API key needed")
        self.assertIsNone(self.page.evaluate("sessionStorage.getItem('key')"))

    def test_not_ascii(self):
        self.give("schlüssel")
        expect(self.page.locator("#key-note")).to_contain_text("ASCII")


class Beside(Proxy):
    """One that has a page of its own, at the address of the server behind it."""

    def serve(self, client):
        if b"GET /stream.html " not in client.recv(65536, socket.MSG_PEEK):
            super().serve(client)
            return
        client.recv(65536)
        page = EXAMPLE.read_bytes()
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n"
                       b"Connection: close\r\n\r\n%s" % (len(page), page))
        client.close()


class Example(Case):
    """examples/stream.html."""

    @classmethod
    def setUpClass(cls):
        cls.server = serve.Server(*cls.options, model=serve.LONG, env={**os.environ, "EDGELLM_API_KEY": "the/key"})
        cls.proxy = Beside(cls.server.port)

    @classmethod
    def tearDownClass(cls):
        cls.proxy.close()
        cls.server.end()

    def begin(self):
        page = self.open(self.proxy.port, NETWORK, until="#question", path="stream.html")
        page.fill("#question", QUESTION)
        return page

    def ask_it(self, stop="false"):
        """Asks, up to the first token. What is told comes into `seen`; stop: when to press that button."""
        page = self.begin()
        page.fill("#key", "the/key")
        page.evaluate("() => { seen = []; shown = take; take = m => { seen.push(m); shown(m); "
                      f"if ({stop}) get('stop').click(); }}; }}")
        page.click("text=Ask")
        page.wait_for_function("seen.some(m => m.type === 'token')")
        return page

    def indices(self, page):
        """Of the tokens that were told, once the answer has ended."""
        page.wait_for_function("secret === undefined && socket.readyState === WebSocket.CLOSED")
        return page.evaluate("seen.filter(m => m.type === 'token').map(m => m.index)")

    def test_asks(self):
        page = self.ask_it()
        told = self.indices(page)
        self.assertEqual(told, list(range(len(told))))
        expect(page.locator("#note")).to_have_text(re.compile(rf"^{len(told)} tokens, \d+ ms$"))
        self.assertEqual(page.locator("#answer").text_content(), page.evaluate("seen.map(m => m.text ?? '').join('')"))

    def test_stops(self):
        """Where it has not ended by itself before that, which is up to the model."""
        for _ in range(TRIES):
            page = self.ask_it(stop="m.index === 0")
            self.indices(page)
            if page.evaluate("seen.at(-1).finish_reason") == "cancelled":
                return
        self.fail("never cancelled")

    def test_lost(self):
        """The page takes the answer up again where its connection broke: none is missing, none comes twice."""
        for _ in range(TRIES):
            self.proxy.cuts = [1200]
            page = self.ask_it()
            told = self.indices(page)
            self.assertEqual(told, list(range(len(told))))
            if page.evaluate("seen.filter(m => m.type === 'accepted').length") == 2:
                return
        self.fail("never lost")


# ---- people ------------------------------------------------------------------------------------

class Narrow(Case):
    def test_320(self):
        page = self.open(viewport={"width": 320, "height": 568}, has_touch=True)
        self.assertFalse(page.is_visible("#settings"))
        page.click("#open-side")
        self.assertEqual(page.get_attribute("#open-side", "aria-expanded"), "true")
        self.exactly(60)
        self.fits()
        page.click("#open-side")
        self.answer("a word that is so long that it has to be broken: " + "x" * 200)
        self.fits()
        self.picture("narrow")
        for name in ("#prompt", "#send", "#new", "#open-side", "#strip"):
            self.assertTrue(page.eval_on_selector(name, "(e) => { const r = e.getBoundingClientRect();"
                            "return r.left >= 0 && r.right <= 320 && r.top >= 0 && r.bottom <= 568; }"), name)

    def fits(self):
        self.assertEqual(self.page.evaluate("[document.documentElement.scrollWidth, "
                         "document.documentElement.scrollHeight]"), [320, 568])
        self.assertEqual(self.page.eval_on_selector("#log", "(e) => e.scrollWidth - e.clientWidth"), 0)


class Keyboard(Case):
    def focused(self):
        return self.page.evaluate("document.activeElement.id || document.activeElement.className")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def test_order(self):
        self.open()
        self.exactly(10)
        self.answer()
        self.page.focus(".skip")
        seen = []
        while self.focused() and len(seen) < 40:
            seen.append(self.focused())
            self.page.keyboard.press("Tab")
        wanted = ["skip", "new", "strip", "log", "meta", "prompt", "send", "deadline", "max-tokens",
                  "temperature", "top-p", "seed", "theme", "system"]
        self.assertEqual([name for name in seen if name != "side"], wanted)

    def test_all_by_keyboard(self):
        self.open()
        self.assertEqual(self.focused(), "prompt")
        self.page.keyboard.type("the fox")
        self.press("Shift+Enter")
        self.page.keyboard.type("runs")
        self.assertEqual(self.page.locator("article").count(), 0)
        self.press("Enter")
        self.has_text()
        self.assertEqual(self.page.locator(".asked .text").text_content(), "the fox\nruns")
        self.press("Escape")
        self.page.locator(".meta").wait_for()
        self.assertEqual(self.focused(), "prompt")
        self.press("Enter")  # nothing is written: nothing is asked
        self.assertEqual(self.page.locator(".asked").count(), 1)

    def test_strip(self):
        self.open()
        self.exactly()
        n = self.right(QUESTION)[1]
        self.answer()
        self.page.focus("#strip")
        value = lambda name: self.page.get_attribute("#strip", f"aria-{name}")
        self.press("Home")
        self.assertEqual((value("valuenow"), value("valuemax")), ("1", str(n)))
        self.assertRegex(value("valuetext"), r"token 1 “.*”, [\d.]+ ms after the question")
        self.press("ArrowRight", "ArrowRight")
        self.assertRegex(value("valuetext"), r"token 3 “.*”, [\d.]+ ms after the one before")
        self.press("End", "ArrowRight")
        self.assertEqual(value("valuenow"), str(n))
        self.press("ArrowLeft")
        self.assertEqual(value("valuenow"), str(n - 1))

    def test_names_and_live_regions(self):
        page = self.open()
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('input, textarea, button, canvas, aside, #log')]"
            ".filter((e) => !(e.labels?.length || e.getAttribute('aria-label') || "
            "(e.tagName === 'BUTTON' && e.textContent.trim()))).map((e) => e.id)")
        self.assertEqual(unnamed, [])
        live = page.evaluate("[...document.querySelectorAll('[aria-live], [role=status], [role=log]')]"
                             ".map((e) => e.id)")
        self.assertEqual(sorted(live), ["said", "state"])
        self.exactly(20)
        text, _ = self.answer()  # read out once, whole
        self.assertIn(text, page.text_content("#said"))


class Light(Case):
    def test_as_the_system_has_it(self):
        colours = set()
        for scheme in ("light", "dark"):
            self.open(color_scheme=scheme)
            self.exactly()
            self.answer()
            colours.add((self.colour("body"), self.colour("body", "color")))
            self.picture(scheme)
        self.assertEqual(len(colours), 2)

    def test_switch(self):
        page = self.open(color_scheme="light")
        light = self.colour("body")
        seen = []
        for _ in range(3):
            page.click("#theme")
            seen.append((page.text_content("#theme"), self.colour("body") == light))
        self.assertEqual(seen, [("light", True), ("dark", False), ("auto", True)])
        page.emulate_media(color_scheme="dark")  # of which the page hears a moment later
        expect(page.locator("body")).not_to_have_css("background-color", light)
        page.emulate_media(color_scheme="light")
        page.click("#theme")
        page.click("#theme")
        page.reload()
        page.wait_for_selector(READY)
        self.assertNotEqual(self.colour("body"), light)

    def test_contrast(self):
        """Of text: 4.5 to 1 at least, in both."""
        for scheme in ("light", "dark"):
            page = self.open(color_scheme=scheme)
            for text, ground in (("ink", "paper"), ("muted", "paper"), ("muted", "raised"),
                                 ("late", "raised"), ("late", "paper"), ("paper", "accent")):
                pair = [page.evaluate("(name) => getComputedStyle(document.documentElement)"
                                      ".getPropertyValue(name)", f"--{name}") for name in (text, ground)]
                self.assertGreaterEqual(contrast(*pair), 4.5, (scheme, text, ground))


def luminance(colour):
    parts = [int(colour.strip()[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[5:]], verbosity=2)
