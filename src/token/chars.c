/* chars.c: see chars.h. */
#include "token/chars.h"

#include "token/unicode_cases.h"
#include "token/unicode_table.h"
#include "token/unicode_words.h"

/* How a character of several bytes begins: the lead bytes first .. last are followed by a byte
 * in low .. high, then by size - 2 bytes in 0x80 .. 0xBF (Unicode, table 3-7). */
static const struct {
    uint8_t first, last, size, low, high;
} leads[] = {
    {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF}, {0xE1, 0xEC, 3, 0x80, 0xBF},
    {0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF}, {0xF0, 0xF0, 4, 0x90, 0xBF},
    {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

#define LEADS (sizeof leads / sizeof leads[0])

int el_chars_decode(const uint8_t *text, size_t len, uint32_t *code)
{
    uint8_t lead = text[0];
    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    size_t row = 0;
    while (row < LEADS && lead > leads[row].last)
        row++;
    if (row == LEADS || lead < leads[row].first) return 0;

    uint8_t size = leads[row].size, low = leads[row].low, high = leads[row].high;
    uint32_t value = lead & (0xFFu >> (size + 1));
    for (uint8_t i = 1; i < size; i++) {
        if (i == len) return -1;
        if (text[i] < low || text[i] > high) return 0;
        value = value << 6 | (text[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *code = value;
    return size;
}

static uint8_t kind_of(uint32_t code)
{
    uint32_t block = code / EL_UNICODE_BLOCK;
    if (block >= EL_UNICODE_BLOCKS) return EL_CHAR_OTHER;
    uint32_t at = el_unicode_index[block] * EL_UNICODE_BLOCK + code % EL_UNICODE_BLOCK;
    return el_unicode_classes[at / 4] >> (at % 4 * 2) & 3;
}

uint8_t el_chars_case(el_char c)
{
    const uint32_t block = c.code / EL_UNICODE_BLOCK;
    if (block >= EL_UNICODE_CASE_BLOCKS) return EL_CASE_NONE; /* of invalid bytes too */
    const uint32_t at = el_unicode_case_index[block] * EL_UNICODE_BLOCK + c.code % EL_UNICODE_BLOCK;
    return el_unicode_cases[at / 4] >> (at % 4 * 2) & 3;
}

el_char el_chars_at(const uint8_t *text, size_t len)
{
    el_char c = {.code = EL_CHAR_INVALID, .size = 0, .kind = EL_CHAR_END};
    if (len == 0) return c;
    uint32_t code;
    int size = el_chars_decode(text, len, &code);
    if (size > 0) {
        c.code = code;
        c.size = (uint8_t)size;
        c.kind = kind_of(code);
    } else {
        c.size = 1;
        c.kind = EL_CHAR_OTHER;
    }
    return c;
}

bool el_chars_is_numeric(el_char c)
{
    if (c.kind == EL_CHAR_NUMBER) return true;
    if (c.code == EL_CHAR_INVALID) return false;
    size_t n = sizeof el_unicode_later_numbers / sizeof el_unicode_later_numbers[0];
    for (size_t i = 0; i < n; i++) {
        const uint32_t *range = el_unicode_later_numbers[i];
        if (c.code >= range[0] && c.code <= range[1]) return true;
    }
    return false;
}

/* Is it in one of the ranges, which are in order? */
static bool is_other_way(uint32_t code)
{
    size_t low = 0, high = sizeof el_unicode_words / sizeof el_unicode_words[0];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (code > el_unicode_words[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof el_unicode_words / sizeof el_unicode_words[0] &&
           code >= el_unicode_words[low][0];
}

bool el_chars_is_word(el_char c)
{
    if (c.code == EL_CHAR_INVALID) return false;
    const bool is =
        c.kind == EL_CHAR_LETTER || c.kind == EL_CHAR_NUMBER || el_chars_case(c) == EL_CASE_MARK;
    return is != is_other_way(c.code);
}

el_char el_chars_before(const uint8_t *text, size_t begin, size_t end)
{
    for (size_t size = 2; size <= 4 && size <= end - begin; size++) {
        const el_char c = el_chars_at(text + end - size, size);
        if (c.size == size) return c;
    }
    return end > begin ? el_chars_at(text + end - 1, 1) : el_chars_at(text, 0);
}
