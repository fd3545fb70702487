/*
 * fuzz_schema.c: any schema. It is refused with one clean line, or becomes a grammar within its
 * limits: text of whole lines, each of them a rule, the first of them `root`, in which every
 * literal, class and group that begins ends.
 *
 * Input: the schema.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "schema/schema.h"

/* The place behind a literal or a class, which is on one line. */
static const char *skip(const char *at, char end)
{
    for (at++; *at != end; at++) {
        FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7f);
        if (*at == '\\') at++;
    }
    return at + 1;
}

/* The place behind the line. */
static const char *check_rule(const char *at)
{
    int depth = 0;
    const size_t name = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-");
    FUZZ_CHECK(name > 0 && strncmp(at + name, " ::=", 4) == 0);
    at += name + 4;
    while (*at != '\n') {
        FUZZ_CHECK(*at != '\0' &&
                   strchr("\"[()|*+?{,}- abcdefghijklmnopqrstuvwxyz0123456789", *at));
        depth += (*at == '(') - (*at == ')');
        FUZZ_CHECK(depth >= 0 && depth < 64);
        at = *at == '"' ? skip(at, '"') : *at == '[' ? skip(at, ']') : at + 1;
    }
    FUZZ_CHECK(depth == 0);
    return at + 1;
}

static void check_grammar(const char *text, size_t len)
{
    FUZZ_CHECK(len > 0 && len < EL_SCHEMA_TEXT_BYTES && strlen(text) == len);
    FUZZ_CHECK(strncmp(text, "root ::= ", 9) == 0);
    size_t rules = 0;
    while (*text) {
        text = check_rule(text);
        rules++;
    }
    FUZZ_CHECK(rules < 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    edgellm_error err = {0};
    char *text = NULL;
    size_t len = 0;
    const edgellm_status status = el_schema_grammar((const char *)data, size, &text, &len, &err);
    if (fuzz_status(status, &err))
        check_grammar(text, len);
    else
        FUZZ_CHECK(text == NULL && len == 0);
    free(text);
    return 0;
}
