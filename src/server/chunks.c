#include "server/chunks.h"

enum {
    SIZE,
    EXTENSION,
    SIZE_END, /* CR was there: LF is next, here and below */
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, /* at the beginning of a line */
    TRAILER_LINE,
    TRAILER_LF,
    LAST_LF,
    OVER,
    WRONG
};

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    const char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static uint32_t read_size(el_chunks *chunks, char c)
{
    const int digit = digit_of(c);
    if (digit >= 0 && chunks->digits < EL_CHUNKS_DIGITS) {
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        chunks->digits++;
        return SIZE;
    }
    if (digit >= 0 || chunks->digits == 0) return WRONG;
    if (c == '\r') return SIZE_END;
    return c == ';' || c == ' ' || c == '\t' ? EXTENSION : WRONG;
}

/* The next byte of a line that is passed over. */
static uint32_t pass(el_chunks *chunks, char c, uint32_t within, uint32_t behind)
{
    if (c == '\r') return behind;
    if (c == '\n' || c == '\0' || ++chunks->passed > EL_CHUNKS_LINES) return WRONG;
    return within;
}

static uint32_t expect(char c, char wanted, uint32_t then)
{
    return c == wanted ? then : WRONG;
}

static uint32_t begin_chunk(el_chunks *chunks)
{
    chunks->passed = 0;
    return chunks->left > 0 ? DATA : TRAILER;
}

static uint32_t begin_size(el_chunks *chunks)
{
    chunks->digits = 0;
    return SIZE;
}

/* The stage behind a byte that is none of the body's. */
static uint32_t step(el_chunks *chunks, char c)
{
    switch (chunks->stage) {
    case SIZE:
        return read_size(chunks, c);
    case EXTENSION:
        return pass(chunks, c, EXTENSION, SIZE_END);
    case SIZE_END:
        return c == '\n' ? begin_chunk(chunks) : WRONG;
    case DATA_CR:
        return expect(c, '\r', DATA_LF);
    case DATA_LF:
        return c == '\n' ? begin_size(chunks) : WRONG;
    case TRAILER:
        return pass(chunks, c, TRAILER_LINE, LAST_LF);
    case TRAILER_LINE:
        return pass(chunks, c, TRAILER_LINE, TRAILER_LF);
    case TRAILER_LF:
        return expect(c, '\n', TRAILER);
    case LAST_LF:
        return expect(c, '\n', OVER);
    default:
        return WRONG;
    }
}

static el_chunk take_piece(el_chunks *chunks, const char **at, const char *end, const char **piece,
                           size_t *len)
{
    const size_t there = (size_t)(end - *at);
    *piece = *at;
    *len = there < chunks->left ? there : (size_t)chunks->left;
    *at += *len;
    chunks->left -= *len;
    if (chunks->left == 0) chunks->stage = DATA_CR;
    return EL_CHUNK_PIECE;
}

el_chunk el_chunks_next(el_chunks *chunks, const char **at, const char *end, const char **piece,
                        size_t *len)
{
    while (chunks->stage < OVER && *at < end) {
        if (chunks->stage == DATA) return take_piece(chunks, at, end, piece, len);
        chunks->stage = step(chunks, *(*at)++);
    }
    if (chunks->stage == WRONG) return EL_CHUNK_WRONG;
    return chunks->stage == OVER ? EL_CHUNK_END : EL_CHUNK_NONE;
}
