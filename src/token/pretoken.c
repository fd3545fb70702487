/*
 * pretoken.c: see pretoken.h. Each function `match_...` stands for one alternative of a regular
 * expression: it gives the length of the match at the start of the text, 0 for none. Scanners try
 * them in the order of the expression, as a backtracking engine does.
 */
#include "token/pretoken.h"

#include <string.h>

#include "token/chars.h"

/* ---- runs of characters ---- */

/* Length of the longest run of one kind of character from `pos` on, as end position. */
static size_t end_of_run(const uint8_t *text, size_t len, size_t pos, uint8_t kind)
{
    for (;;) {
        el_char c = el_chars_at(text + pos, len - pos);
        if (c.kind != kind) return pos;
        pos += c.size;
    }
}

static bool is_line_end(uint32_t code)
{
    return code == '\r' || code == '\n';
}

static size_t end_of_line_ends(const uint8_t *text, size_t len, size_t pos)
{
    while (pos < len && is_line_end(text[pos]))
        pos++;
    return pos;
}

/* ---- alternatives ---- */

static uint32_t lower(uint32_t code)
{
    if (code == 0x17F) return 's'; /* the long s folds to s in the engine, and nothing else does */
    return code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
}

/* 's|'t|'re|'ve|'m|'ll|'d, in any case if `fold` */
static size_t match_contraction(const uint8_t *text, size_t len, bool fold)
{
    static const char endings[][3] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (text[0] != '\'') return 0;
    el_char c = el_chars_at(text + 1, len - 1);
    el_char d = el_chars_at(text + 1 + c.size, len - 1 - c.size);
    uint32_t first = fold ? lower(c.code) : c.code;
    uint32_t second = fold ? lower(d.code) : d.code;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const char *ending = endings[i];
        if (first != (uint8_t)ending[0]) continue;
        if (ending[1] == '\0') return 1u + c.size;
        if (second == (uint8_t)ending[1]) return 1u + c.size + d.size;
    }
    return 0;
}

/* " ?\p{L}+", " ?\p{N}+" or " ?[^\s\p{L}\p{N}]+" */
static size_t match_spaced_run(const uint8_t *text, size_t len, uint8_t kind)
{
    size_t start = text[0] == ' ' ? 1 : 0;
    size_t end = end_of_run(text, len, start, kind);
    return end > start ? end : 0;
}

/* "\s+(?!\S)|\s+": white space, but its last character is left to what follows */
static size_t match_space(const uint8_t *text, size_t len)
{
    size_t pos = 0, last = 0;
    for (;;) {
        el_char c = el_chars_at(text + pos, len - pos);
        if (c.kind != EL_CHAR_SPACE) break;
        last = pos;
        pos += c.size;
    }
    return pos < len && last > 0 ? last : pos;
}

/* "[^\r\n\p{L}\p{N}]?\p{L}+" */
static size_t match_word(const uint8_t *text, size_t len)
{
    el_char c = el_chars_at(text, len);
    size_t start = 0;
    if (c.kind != EL_CHAR_LETTER && c.kind != EL_CHAR_NUMBER && !is_line_end(c.code))
        start = c.size;
    size_t end = end_of_run(text, len, start, EL_CHAR_LETTER);
    return end > start ? end : 0;
}

/* "\p{N}{1,most}" */
static size_t match_numbers(const uint8_t *text, size_t len, uint8_t most)
{
    size_t pos = 0;
    for (uint8_t i = 0; i < most; i++) {
        el_char c = el_chars_at(text + pos, len - pos);
        if (c.kind != EL_CHAR_NUMBER) break;
        pos += c.size;
    }
    return pos;
}

/* " ?[^\s\p{L}\p{N}]+[\r\n]*" */
static size_t match_signs(const uint8_t *text, size_t len)
{
    size_t end = match_spaced_run(text, len, EL_CHAR_OTHER);
    return end > 0 ? end_of_line_ends(text, len, end) : 0;
}

/* " ?[^\s\p{L}\p{N}]+[\r\n/]*" */
static size_t match_signs_and_slashes(const uint8_t *text, size_t len)
{
    size_t end = match_spaced_run(text, len, EL_CHAR_OTHER);
    while (end > 0 && end < len && (is_line_end(text[end]) || text[end] == '/'))
        end++;
    return end;
}

/* ---- words by case: upper is [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], lower [\p{Ll}\p{Lm}\p{Lo}\p{M}]
 * ---- */

static bool is_upper(el_char c)
{
    const uint8_t its = el_chars_case(c);
    return its == EL_CASE_MARK || (c.kind == EL_CHAR_LETTER && its != EL_CASE_LOWER);
}

static bool is_lower(el_char c)
{
    const uint8_t its = el_chars_case(c);
    return its == EL_CASE_MARK || (c.kind == EL_CHAR_LETTER && its != EL_CASE_UPPER);
}

/* "upper*lower+|upper+lower*" from `start` on, as end position; *whole: the first of them, for
 * which upper* gives back what it took up to the last character that is lower too. `start` if
 * neither. */
static size_t end_of_cased(const uint8_t *text, size_t len, size_t start, bool *whole)
{
    size_t pos = start, both = start; /* behind the last that is upper and lower */
    el_char c = el_chars_at(text + pos, len - pos);
    for (; is_upper(c); c = el_chars_at(text + pos, len - pos)) {
        pos += c.size;
        if (is_lower(c)) both = pos;
    }
    *whole = is_lower(c) || both > start;
    if (!is_lower(c)) return *whole ? both : pos;
    for (; is_lower(c); c = el_chars_at(text + pos, len - pos))
        pos += c.size;
    return pos;
}

/* "[^\r\n\p{L}\p{N}]?upper*lower+|[^\r\n\p{L}\p{N}]?upper+lower*" */
static size_t match_cased_word(const uint8_t *text, size_t len)
{
    const el_char c = el_chars_at(text, len);
    bool whole = false;
    size_t start = 0;
    if (c.kind != EL_CHAR_LETTER && c.kind != EL_CHAR_NUMBER && !is_line_end(c.code))
        start = c.size;
    const size_t end = end_of_cased(text, len, start, &whole);
    /* The first alternative comes to its end before the second: a mark is then the word itself. */
    if (!whole && start > 0 && is_lower(c)) return end_of_cased(text, len, 0, &whole);
    return end > start ? end : 0;
}

/* "\s*[\r\n]+": white space up to the last line end in it */
static size_t match_lines(const uint8_t *text, size_t len)
{
    size_t pos = 0, end = 0;
    for (;;) {
        el_char c = el_chars_at(text + pos, len - pos);
        if (c.kind != EL_CHAR_SPACE) return end;
        pos += c.size;
        if (is_line_end(c.code)) end = pos;
    }
}

/* ---- scanners ---- */

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t scan_gpt2(const el_pretokenizer *row, const uint8_t *text, size_t len)
{
    (void)row;
    size_t n = match_contraction(text, len, false);
    if (n == 0) n = match_spaced_run(text, len, EL_CHAR_LETTER);
    if (n == 0) n = match_spaced_run(text, len, EL_CHAR_NUMBER);
    if (n == 0) n = match_spaced_run(text, len, EL_CHAR_OTHER);
    return n > 0 ? n : match_space(text, len);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,most}| ?[^\s\p{L}\p{N}]+[\r\n]*
 * |\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t scan_llama3(const el_pretokenizer *row, const uint8_t *text, size_t len)
{
    size_t n = match_contraction(text, len, true);
    if (n == 0) n = match_word(text, len);
    if (n == 0) n = match_numbers(text, len, row->number_run);
    if (n == 0) n = match_signs(text, len);
    if (n == 0) n = match_lines(text, len);
    return n > 0 ? n : match_space(text, len);
}

/* Words by case, then \p{N}{1,most}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+; with
 * `contractions` a word may end in (?i:'s|'t|'re|'ve|'m|'ll|'d) */
static size_t scan_cased(const el_pretokenizer *row, const uint8_t *text, size_t len)
{
    size_t n = match_cased_word(text, len);
    if (n > 0 && n < len && row->contractions) n += match_contraction(text + n, len - n, true);
    if (n == 0) n = match_numbers(text, len, row->number_run);
    if (n == 0) n = match_signs_and_slashes(text, len);
    if (n == 0) n = match_lines(text, len);
    return n > 0 ? n : match_space(text, len);
}

static const el_pretokenizer rows[] = {
    {"smollm", scan_gpt2, 0, true, false, false},   {"gpt2", scan_gpt2, 0, false, false, false},
    {"llama3", scan_llama3, 3, false, true, false}, {"qwen2", scan_llama3, 1, false, false, false},
    {"tekken", scan_cased, 1, false, true, false},  {"gpt-4o", scan_cased, 3, false, false, true},
};

#define ROWS (sizeof rows / sizeof rows[0])

/* Names that importers meet for the rows above: of models that have one's expression, whatever
 * their vocabulary. */
static const struct {
    const char *name, *row;
} aliases[] = {
    {"gpt-2", "gpt2"},      {"phi-2", "gpt2"},     {"olmo", "gpt2"}, /* GPT-NeoX: TriLM */
    {"gpt-neox", "gpt2"},   {"mpt", "gpt2"},       {"starcoder", "smollm"}, {"llama-bpe", "llama3"},
    {"llama-v3", "llama3"}, {"falcon3", "llama3"}, {"falcon-h1", "llama3"}, {"falcon_e", "llama3"},
    {"stablelm2", "qwen2"}, {"hunyuan", "qwen2"},
};

const el_pretokenizer *el_pretoken_find(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        if (strcmp(name, aliases[i].name) == 0) name = aliases[i].row;
    }
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(name, rows[i].name) == 0) return &rows[i];
    }
    return NULL;
}

const el_pretokenizer *el_pretoken_row(size_t index)
{
    return index < ROWS ? &rows[index] : NULL;
}

/* ---- cutting ---- */

el_cutter el_pretoken_start(const el_pretokenizer *row, const uint8_t *text, size_t len)
{
    el_cutter cutter = {.row = row, .text = text, .len = len};
    if (!row->split_digits) cutter.limit = len;
    return cutter;
}

/* Sets the limit behind the numeric character at `pos`, or before the next one. */
static void find_limit(el_cutter *cutter)
{
    size_t pos = cutter->pos;
    for (;;) {
        el_char c = el_chars_at(cutter->text + pos, cutter->len - pos);
        if (c.kind == EL_CHAR_END) break;
        bool numeric = el_chars_is_numeric(c);
        if (numeric && pos > cutter->pos) break;
        pos += c.size;
        if (numeric) break;
    }
    cutter->limit = pos;
}

const uint8_t *el_pretoken_next(el_cutter *cutter, size_t *len)
{
    if (cutter->pos == cutter->len) return NULL;
    if (cutter->pos == cutter->limit) find_limit(cutter);
    const uint8_t *piece = cutter->text + cutter->pos;
    *len = cutter->row->scan(cutter->row, piece, cutter->limit - cutter->pos);
    cutter->pos += *len;
    return piece;
}
