/*
 * bench_backend.c: the list of backends, and the prompts that all of them are given.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench.h"

static const el_cli_bench_kind *const kinds[] = {&el_cli_bench_local, &el_cli_bench_ollama,
                                                 &el_cli_bench_openai};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static const el_cli_bench_kind *find_kind(const char *text, size_t len)
{
    for (int i = 0; i < N_KINDS; i++) {
        if (strlen(kinds[i]->name) == len && memcmp(kinds[i]->name, text, len) == 0)
            return kinds[i];
    }
    return NULL;
}

edgellm_status el_cli_bench_backend_parse(el_cli_bench_backend *backend, const char *text,
                                          edgellm_error *err)
{
    const char *equals = strchr(text, '=');
    const size_t len = equals != NULL ? (size_t)(equals - text) : strlen(text);
    *backend = (el_cli_bench_backend){.kind = find_kind(text, len)};
    if (backend->kind == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "bad backend '%.80s': expected edgellm, ollama=URL or openai=URL", text);
    }
    if (backend->kind->needs_address != (equals != NULL && equals[1] != '\0')) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "bad backend '%.80s': %s", text,
                           backend->kind->needs_address
                               ? "its address is missing, as in ollama=http://127.0.0.1:11434"
                               : "edgellm runs in this process and has no address");
    }
    backend->address = equals != NULL ? equals + 1 : NULL;
    return EDGELLM_OK;
}

/* ---- prompts ------------------------------------------------------------------------------ */

/* Digits are a token each in most vocabularies, so that such prompts stay equally long. */
#define NUMBER        "%08llu. "
#define NUMBER_LIMIT  100000000u
#define NUMBER_LENGTH (8 + 2)

size_t el_cli_bench_prompt_bytes(const el_cli_bench_plan *plan)
{
    return strlen(plan->prompt) + (plan->unique ? NUMBER_LENGTH : 0) + 1;
}

void el_cli_bench_prompt(const el_cli_bench_plan *plan, uint64_t number, char *text, size_t size)
{
    char head[NUMBER_LENGTH + 1] = "";
    if (plan->unique)
        snprintf(head, sizeof head, NUMBER, (unsigned long long)(number % NUMBER_LIMIT));
    snprintf(text, size, "%s%s", head, plan->prompt);
}

char *el_cli_bench_words(uint32_t n)
{
    static const char *const words[] = {
        "The",   "people", "of",    "the",   "town",  "went", "down", "to",   "the",   "river",
        "in",    "the",    "early", "part",  "of",    "the",  "day",  "to",   "see",   "the",
        "water", "and",    "the",   "ships", "that",  "came", "from", "the",  "other", "side",
        "with",  "food",   "and",   "wood",  "for",   "the",  "long", "cold", "time",  "of",
        "the",   "year",   "when",  "there", "would", "be",   "no",   "more", "work",  "and",
    };
    enum { N_WORDS = sizeof words / sizeof words[0], LONGEST = 8 };
    char *text = malloc((size_t)n * LONGEST + 1);
    size_t used = 0;
    if (text == NULL) return NULL;
    text[0] = '\0';
    for (uint32_t i = 0; i < n; i++) {
        int len = snprintf(text + used, LONGEST + 1, "%s%s", i > 0 ? " " : "", words[i % N_WORDS]);
        used += len > 0 ? (size_t)len : 0;
    }
    return text;
}
