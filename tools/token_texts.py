"""Texts that are hard to tokenize, made from a seed: prose, code, numbers, line ends, characters of
every plane, emoji with joiners, odd white space, contractions and combining marks."""
import random
import unicodedata

WORDS = {
    "English": "the of and to in is that it for was on are as with they be at one have this from "
               "by hot word but what some we can out other were all there when up use your how "
               "said an each she which do their time if will way about many then them write would "
               "like so these her long make thing see him two has look more day could go come did "
               "number sound no most people my over know water than call first who may down side "
               "been now find machine sensor latency engine bounded measure answer before start "
               "naïve café résumé coöperate Zürich",
    "German": "der die und das nicht mit sich auf für ist im dem ein größer Straße über schön "
              "Geschwindigkeitsbegrenzung Übermaß weiß Äpfel öffnen heißt zwölf ß Füße",
    "French": "le la les des est une dans qui que l'eau d'être garçon où déjà œuvre français "
              "aujourd'hui n'est j'ai c'était à côté «oui» élève naïf Noël",
    "Russian": "и в не на я быть он с что это весь этот человек время рука дело жизнь день "
               "скорость память ответ машина Ёлка объект",
    "Greek": "και το να είναι στην από που δεν με ένα για θα ώρα μνήμη ταχύτητα ΑΘΗΝΑ λόγος",
    "Arabic": "في من على إلى هذا التي كان مع عن السرعة الذاكرة قبل بعد اللغةُ العربيّة",
    "Hindi": "और का है में की से यह को पर समय स्मृति गति उत्तर हिन्दी क्षेत्र",
    "Thai": "ภาษาไทย เวลา หน่วยความจำ ความเร็ว และ คำตอบ น้ำ ก็",
    "Chinese": "模型 在 小 板 上 运行 时间 是 已知 的 内存 有限 你好 世界 中文 ，。！",
    "Japanese": "これは テスト です 速度 メモリ の 予測 カタカナ ひらがな 東京 ー 。",
    "Korean": "안녕하세요 세계 시간 메모리 속도 그리고 대답 한국어 을 를",
    "Hebrew": "שלום עולם זמן זיכרון מהירות תשובה וְהָיָה",
}
MARKS = [".", ",", "!", "?", ";", ":", "...", "…", " — ", " - ", "\"", "'", ")", " (", "/", "&"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"]
SPACES = ["\u0085", "\u00a0", "\u1680", "\u2000", "\u2003", "\u2007", "\u200a", "\u2028", "\u2029",
          "\u202f", "\u205f", "\u3000", "\u200b", "\ufeff", "\u180e", "\x1c", "\x1f", "\x0b", "\x0c",
          "\t", " ", "\n", "\r", "\r\n"]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "👨🏽‍💻", "🏳️‍🌈", "❤️", "🇩🇪", "🇯🇵", "👍🏿", "1️⃣", "🧑‍🚀", "☕", "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
         "⁉️", "㊗️", "🫱🏻‍🫲🏿", "‍", "️"]
COMBINING = [chr(c) for c in list(range(0x300, 0x340)) + [0x5B0, 0x64B, 0x93C, 0xE31, 0x20D0, 0x20E3,
                                                          0x3099, 0xFE20, 0x1D165]]
LATER_NUMBERS = [chr(c) for c in list(range(0x11DE0, 0x11DEA)) + [0x16FF4, 0x16FF5, 0x16FF6]]
ENDS = ["\n", "\r\n", "\n\n", "\r", "\r\n\r\n", " \n", "\t\r\n", "\n \n"]


def prose(r):
    words = WORDS[r.choice(list(WORDS))].split()
    out = []
    for _ in range(r.randint(3, 30)):
        word = r.choice(words)
        style = r.random()
        word = word.upper() if style < .05 else word.capitalize() if style < .2 else word
        out.append(word + (r.choice(MARKS) if r.random() < .15 else ""))
    return (" " if r.random() < .3 else "") + " ".join(out) + r.choice([".", "!", "?", "", "\n"])


def name(r):
    parts = [r.choice(WORDS["English"].split()[:60]) for _ in range(r.randint(1, 3))]
    style = r.randrange(4)
    if style == 0:
        return "_".join(parts)
    if style == 1:
        return parts[0] + "".join(p.capitalize() for p in parts[1:])
    return "".join(p.capitalize() for p in parts) if style == 2 else "_".join(parts).upper()


def code(r):
    n = lambda: name(r)
    forms = [
        lambda: f"def {n()}({n()}, *{n()}, **{n()}):\n    \"\"\"{prose(r)}\"\"\"\n    return {n()}[{r.randint(-9, 99)}:]\n",
        lambda: f"for (int {n()} = 0; {n()} < {r.randint(0, 4096)}; {n()}++) {{\n\t{n()}->{n()} |= 0x{r.randrange(1 << 32):08X}u << {r.randint(0, 31)};\n}}\n",
        lambda: f"#include <{n()}.h>\r\n#define {n()}(x) ((x) * {r.random():.6g}f)\r\n\r\n",
        lambda: f"<div class=\"{n()}\" id='{n()}'>{prose(r)}</div><!-- {n()} -->",
        lambda: f"{{\"{n()}\": [{r.randint(0, 9)}, null, true], \"{n()}\": \"\\u00e9\\n\", \"x\":{r.random()}}}",
        lambda: f"SELECT {n()}, COUNT(*) FROM {n()} WHERE {n()} <> '{n()}' GROUP BY 1; -- {prose(r)}",
        lambda: f"const {n()} = async ({n()}) => {{ await {n()}?.{n()} ?? `${{{n()}}}`; }};",
        lambda: f"$ {n()} --{n()}={r.randint(0, 99)} | grep -E '^[a-z]+$' > /tmp/{n()}.txt 2>&1",
        lambda: f"\\begin{{{n()}}} $\\alpha_{{{r.randint(0, 9)}}}^2 \\le \\frac{{a}}{{b}}$ \\end{{{n()}}}",
        lambda: "| " + " | ".join(n() for _ in range(4)) + " |\n|---|:--:|---|---:|\n",
    ]
    indent = r.choice(["", "", "    ", "\t", "        ", "  \t"])
    return "".join(indent + r.choice(forms)() for _ in range(r.randint(1, 3)))


def numbers(r):
    forms = [
        lambda: str(r.randrange(10 ** r.randint(1, 20))), lambda: f"{r.random() * 1e6:,.3f}",
        lambda: f"{r.uniform(-1, 1):e}", lambda: f"{r.randint(1, 31)}.{r.randint(1, 12)}.{r.randint(1900, 2100)}",
        lambda: f"{r.randint(0, 23):02}:{r.randint(0, 59):02}", lambda: f"v{r.randint(0, 9)}.{r.randint(0, 99)}.{r.randint(0, 9)}",
        lambda: "".join(r.choice("٠١٢٣٤٥٦٧٨٩०१२३४५६७८９０１２") for _ in range(r.randint(1, 8))),
        lambda: r.choice(["½", "²", "x³", "Ⅷ", "①", "㊿", "一二三", "𝟘𝟙", "🄁", "10⁻³", "¾ cup", "〇"]),
        lambda: r.choice(LATER_NUMBERS) * r.randint(1, 3), lambda: f"+{r.randint(10**9, 10**12)}",
    ]
    return "".join(r.choice(forms)() + r.choice([" ", "", "  ", ", ", "\t", "\n", "a", "-"])
                   for _ in range(r.randint(1, 12)))


def contractions(r):
    out = []
    for _ in range(r.randint(1, 10)):
        ending = r.choice(CONTRACTIONS)
        ending = "".join(r.choice([c, c.upper()]) for c in ending).replace("s", r.choice("sssſ"))
        word = r.choice(["I", "it", "THEY", "don", "we", "you", "", " ", "é", "1", "'", "\n", "日"])
        out.append(word + ending + r.choice(["", " ", "x", "S", "'", "1", "\n", "é", ".", "\u0301"]))
    return "".join(out)


def spaces(r):
    return "".join(r.choice(SPACES) * r.choice([1, 1, 2, 5]) + r.choice(["", "", "a", "1", "!", "é", "'s", "日"])
                   for _ in range(r.randint(1, 16)))


def line_ends(r):
    return "".join(r.choice([prose(r)[:20], "", "x", "1", "}", "!!", "  "]) + r.choice(ENDS)
                   for _ in range(r.randint(1, 8)))


def emoji(r):
    return "".join(r.choice(EMOJI) + r.choice(["", "", " ", "a", "\u200d", "\ufe0f", "3"])
                   for _ in range(r.randint(1, 10)))


def combining(r):
    return "".join(r.choice("aeiouAEIOU nsz1.ß가あ") + "".join(r.choice(COMBINING) for _ in range(r.randint(0, 3)))
                   for _ in range(r.randint(2, 20)))


def planes():
    """Assigned characters of each plane that has any (private use apart), and some of any kind."""
    assigned = {}
    for c in range(0x110000):
        if unicodedata.category(chr(c)) not in ("Cn", "Cs"):
            assigned.setdefault(c >> 16, []).append(chr(c))
    return list(assigned.values())


def make_any(all_planes):
    def any_character(r):
        out = []
        for _ in range(r.randint(2, 24)):
            out.append(r.choice(r.choice(all_planes)))
            out.append(r.choice(["", "", "", " ", "a", "1", "'", "\n"]))
        return "".join(out)
    return any_character


def random_character(r):
    c = r.randrange(0x110000 - 0x800)
    return chr(c if c < 0xD800 else c + 0x800)


def mixed(r):
    makers = [prose, code, numbers, contractions, spaces, line_ends, emoji, combining]
    pieces = []
    for _ in range(r.randint(2, 5)):
        text = r.choice(makers)(r)
        at = r.randrange(len(text) + 1)
        pieces.append(text[at:at + r.randint(1, 20)])
        pieces.append(r.choice(["", " ", random_character(r), chr(r.randrange(128))]))
    return "".join(pieces)


def make_special(names):
    def special(r):
        return "".join(r.choice(names) + r.choice(["", " ", "\n", "user", "<|", "|>", "<", prose(r)[:12]])
                       for _ in range(r.randint(1, 5)))
    return special


def texts(count, seed, special_names):
    """`count` texts, every kind in turn, so that each is well represented."""
    r = random.Random(seed)
    makers = [prose, code, prose, numbers, code, contractions, spaces, line_ends, emoji, combining,
              make_any(planes()), make_special(special_names), mixed, mixed]
    return [makers[i % len(makers)](r) for i in range(count)]
