/*
 * chars.h: bytes as characters. UTF-8 in its strict form: no overlong forms, no surrogates,
 * nothing above U+10FFFF. A byte that starts no valid character is a character by itself, of
 * class "other", so every byte string is a list of characters.
 */
#ifndef EL_TOKEN_CHARS_H
#define EL_TOKEN_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EL_CHAR_OTHER, EL_CHAR_LETTER, EL_CHAR_NUMBER, EL_CHAR_SPACE, EL_CHAR_END };

/* Cases: marks (accents and the like) are no letters; other letters, and all else, have none. */
enum { EL_CASE_NONE, EL_CASE_UPPER, EL_CASE_LOWER, EL_CASE_MARK };

#define EL_CHAR_INVALID UINT32_MAX /* code of a byte that is no character */

typedef struct el_char {
    uint32_t code;
    uint8_t size; /* in bytes; 0 past the end of the text */
    uint8_t kind; /* EL_CHAR_OTHER .. EL_CHAR_END */
} el_char;

/*
 * Size of the character that starts the `len` >= 1 bytes at `text`, its code point in *code.
 * 0: the first byte starts no valid character. -1: the text ends inside of one.
 */
int el_chars_decode(const uint8_t *text, size_t len, uint32_t *code);

/* The character at `text`; of size 0 and kind EL_CHAR_END if len is 0. */
el_char el_chars_at(const uint8_t *text, size_t len);

/* EL_CASE_...: categories Lu and Lt, Ll, and M. */
uint8_t el_chars_case(el_char c);

/* A number in the sense of the digit splitter: Unicode 17.0, where the classes are 16.0. */
bool el_chars_is_numeric(el_char c);

/* What stands in words, as \w says in expressions: letters, marks, digits, what joins them. */
bool el_chars_is_word(el_char c);

/* The character that ends at place `end` of the text, not before `begin`; EL_CHAR_END if begin is
 * end. Of bytes that are no character the last. */
el_char el_chars_before(const uint8_t *text, size_t begin, size_t end);

#endif
