"""Grammars in GBNF, as the tests of grammars read them: independent of the engine and slow.

    grammar = gbnf.Grammar(text)
    grammar.matches(string)      is it a sentence?
    grammar.draw(random)         a random sentence, which ends soon
"""


class Grammar:
    """An item is ("text", string), ("class", ranges, inverted), ("rule", name), ("seq", items),
    ("or", items) or ("repeat", item, least, most or None)."""

    def __init__(self, text):
        self.rules = {}
        for line in text.split("\n"):
            if not line.strip() or line.startswith("#"):
                continue
            name, right = line.split(" ::=", 1)
            if name in self.rules:
                raise ValueError(f"rule {name} twice")
            parser = Parser(right)
            self.rules[name] = parser.choice()
            if parser.at != len(right):
                raise ValueError(f"rule {name}: left over: {right[parser.at:]}")
        self.check_names()
        self.heights = self.find_heights()

    def check_names(self):
        used = {"root"}

        def look(item):
            if item[0] == "rule":
                used.add(item[1])
            elif item[0] in ("seq", "or"):
                for inner in item[1]:
                    look(inner)
            elif item[0] == "repeat":
                look(item[1])
        for item in self.rules.values():
            look(item)
        if used != set(self.rules):
            raise ValueError(f"rules that are named and rules that are there differ: "
                             f"{used ^ set(self.rules)}")

    # ---- membership: the ends of all readings that begin at a place ----

    def matches(self, string):
        self.string, self.known, self.open = string, {}, set()
        return len(string) in self.ends(("rule", "root"), 0)

    def ends(self, item, at):
        kind = item[0]
        if kind == "text":
            return {at + len(item[1])} if self.string.startswith(item[1], at) else set()
        if kind == "class":
            return {at + 1} if at < len(self.string) and in_class(item, self.string[at]) else set()
        if kind == "rule":
            return self.ends_of_rule(item[1], at)
        if kind == "or":
            return set().union(*(self.ends(inner, at) for inner in item[1]))
        if kind == "repeat":
            return self.ends_of_repeat(item, at)
        places = {at}
        for inner in item[1]:
            places = set().union(*(self.ends(inner, place) for place in places)) if places else places
        return places

    def ends_of_rule(self, name, at):
        key = (name, at)
        if key in self.open:
            raise ValueError(f"rule {name} begins with itself")
        if key not in self.known:
            self.open.add(key)
            self.known[key] = self.ends(self.rules[name], at)
            self.open.discard(key)
        return self.known[key]

    def ends_of_repeat(self, item, at):
        _, inner, least, most = item
        found, places, seen, n = set(), {at}, set(), 0
        while places:
            if n >= least:
                found |= places
                places = places - seen
                seen |= places
            if n == most:
                break
            places = set().union(*(self.ends(inner, place) for place in places)) if places else places
            n += 1
        return found

    # ---- sentences ----

    def find_heights(self):
        """How many rules deep the shortest sentences of each rule are; a rule without is an error."""
        heights = {name: None for name in self.rules}
        changed = True
        while changed:
            changed = False
            for name, item in self.rules.items():
                height = self.height(item, heights)
                if height is not None and heights[name] is None:
                    heights[name] = height + 1
                    changed = True
        missing = [name for name, height in heights.items() if height is None]
        if missing:
            raise ValueError(f"rules without an end: {missing}")
        return heights

    def height(self, item, heights):
        kind = item[0]
        if kind in ("text", "class") or (kind == "repeat" and item[2] == 0):
            return 0
        if kind == "rule":
            return heights[item[1]]
        if kind == "repeat":
            return self.height(item[1], heights)
        inner = [self.height(one, heights) for one in item[1]]
        if kind == "or":
            inner = [height for height in inner if height is not None]
            return min(inner, default=None)
        return None if None in inner else max(inner, default=0)

    def draw(self, random, deep=12):
        out = []
        self.draw_item(("rule", "root"), random, deep, out)
        return "".join(out)

    def draw_item(self, item, random, deep, out):
        kind = item[0]
        if kind == "text":
            out.append(item[1])
        elif kind == "class":
            out.append(draw_character(item, random))
        elif kind == "rule":
            self.draw_item(self.rules[item[1]], random, deep - 1, out)
        elif kind == "seq":
            for inner in item[1]:
                self.draw_item(inner, random, deep, out)
        elif kind == "or":
            choices = item[1]
            if deep <= 0:
                least = min(self.height_or_inf(one) for one in choices)
                choices = [one for one in choices if self.height_or_inf(one) == least]
            self.draw_item(random.choice(choices), random, deep, out)
        else:
            self.draw_repeat(item, random, deep, out)

    def height_or_inf(self, item):
        height = self.height(item, self.heights)
        return float("inf") if height is None else height

    def draw_repeat(self, item, random, deep, out):
        _, inner, least, most = item
        high = least if deep <= 0 else least + random.choice((0, 1, 1, 2, 3, 8))
        if most is not None:
            high = most if random.random() < 0.2 and deep > 0 and most < 40 else min(high, most)
        for _ in range(random.randint(least, high)):
            self.draw_item(inner, random, deep, out)


def in_class(item, character):
    code = ord(character)
    return any(low <= code <= high for low, high in item[1]) != item[2]


def draw_character(item, random):
    """Mostly a plain one."""
    pool = [chr(c) for c in range(32, 127)] + ["é", "ß", "漢", "😀", "\u00a0", "\x80"]
    for _ in range(20):
        character = random.choice(pool)
        if in_class(item, character):
            return character
    fitting = [c for c in pool if in_class(item, c)]
    if fitting:
        return random.choice(fitting)
    low, high = random.choice(item[1])
    return chr(random.randint(low, high))


class Parser:
    def __init__(self, text):
        self.text, self.at = text, 0

    def peek(self):
        return self.text[self.at] if self.at < len(self.text) else ""

    def skip(self):
        while self.peek() == " ":
            self.at += 1

    def choice(self):
        choices = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            choices.append(self.sequence())
        return choices[0] if len(choices) == 1 else ("or", choices)

    def sequence(self):
        items = []
        self.skip()
        while self.peek() not in ("", "|", ")"):
            items.append(self.repeated())
            self.skip()
        return ("seq", items)

    def repeated(self):
        item = self.atom()
        sign = self.peek()
        if sign in ("*", "+", "?") and sign:
            self.at += 1
            return ("repeat", item, int(sign == "+"), 1 if sign == "?" else None)
        if sign == "{":
            end = self.text.index("}", self.at)
            least, comma, most = self.text[self.at + 1:end].partition(",")
            self.at = end + 1
            most = (int(most) if most else None) if comma else int(least)
            if most is not None and most < int(least):
                raise ValueError("a count backwards")
            return ("repeat", item, int(least), most)
        return item

    def atom(self):
        sign = self.peek()
        if sign == '"':
            return self.literal()
        if sign == "[":
            return self.characters()
        if sign == ".":
            self.at += 1
            return ("class", [], True)
        if sign == "(":
            self.at += 1
            inner = self.choice()
            if self.peek() != ")":
                raise ValueError("a group without its end")
            self.at += 1
            return inner
        begin = self.at
        while self.peek().isalnum() or (self.peek() == "-" and self.peek()):
            self.at += 1
        if begin == self.at:
            raise ValueError(f"no item: {self.text[begin:]}")
        return ("rule", self.text[begin:self.at])

    def character(self):
        """One, with its escape."""
        sign = self.peek()
        self.at += 1
        if sign != "\\":
            if sign < " ":
                raise ValueError("a control character, or no end")
            return sign
        escape = self.peek()
        self.at += 1
        digits = {"x": 2, "u": 4, "U": 8}.get(escape)
        if digits:
            self.at += digits
            return chr(int(self.text[self.at - digits:self.at], 16))
        return {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "[": "[", "]": "]"}[escape]

    def literal(self):
        self.at += 1
        found = ""
        while self.peek() != '"':
            found += self.character()
        self.at += 1
        return ("text", found)

    def characters(self):
        self.at += 1
        inverted = self.peek() == "^"
        self.at += inverted
        ranges = []
        while self.peek() != "]":
            low = high = ord(self.character())
            if self.peek() == "-" and self.text[self.at + 1] != "]":
                self.at += 1
                high = ord(self.character())
            if high < low:
                raise ValueError("a range backwards")
            ranges.append((low, high))
        self.at += 1
        return ("class", ranges, inverted)
