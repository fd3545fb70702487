/*
 * schema_text.c: not a test: prints the grammars that test_schema.py reads.
 *
 *   schema_text < SCHEMAS      a schema a line
 *
 * For each "ok N" and a grammar of N bytes, or "STATUS N" and an error message of N bytes; each
 * with a line end behind it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/schema.h"

int main(void)
{
    char *line = NULL, *text;
    size_t room = 0, text_len;
    ssize_t len;
    while ((len = getline(&line, &room, stdin)) > 0) {
        edgellm_error err = {0};
        if (line[len - 1] == '\n') len--;
        const edgellm_status status = el_schema_grammar(line, (size_t)len, &text, &text_len, &err);
        const char *said = text ? text : err.message;
        printf("%s %zu\n%s\n", edgellm_status_name(status), strlen(said), said);
        free(text);
    }
    free(line);
    return 0;
}
