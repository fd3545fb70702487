#include "server/tool_grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/schema.h"

enum { LABEL = 48 };

/* ---- schemas ------------------------------------------------------------------------------- */

enum { NO_RULE = EL_TOOLS + 1 };

/* The schemas of one grammar, and where each stands: those of the tools that may be called and take
 * something, then that of the text, if it keeps to one. */
typedef struct documents {
    uint32_t n;
    uint32_t rule[EL_TOOLS]; /* (tools) of its arguments; NO_RULE: they are {} */
    el_schema_document list[EL_TOOLS + 1];
    char labels[EL_TOOLS][LABEL];
    uint32_t text; /* its rule; NO_RULE: it is free */
} documents;

static bool is_wanted(const el_ask *ask, uint32_t tool)
{
    return ask->tool_choice != EL_TOOLS_ONE || ask->tool == tool;
}

static void collect(documents *d, const el_ask *ask, const json_t *text)
{
    d->n = 0;
    for (uint32_t i = 0; i < ask->n_tools; i++) {
        const json_t *schema = ask->tools[i].parameters;
        d->rule[i] = schema ? d->n : NO_RULE;
        if (!schema || !is_wanted(ask, i)) continue;
        snprintf(d->labels[i], LABEL, "tools[%u].function.parameters", i);
        d->list[d->n++] = (el_schema_document){schema, d->labels[i]};
    }
    d->text = text ? d->n : NO_RULE;
    if (text) d->list[d->n++] = (el_schema_document){text, ask->keeps_field};
}

/* "schema: PLACE: WHY", as el_schema tells it. */
static bool fail(const edgellm_error *err, el_problem *problem)
{
    static const char before[] = "schema: ";
    char place[sizeof problem->param];
    const char *at = strncmp(err->message, before, sizeof before - 1) == 0
                         ? err->message + sizeof before - 1
                         : NULL;
    const char *end = at ? strstr(at, ": ") : NULL;
    const int len = end ? (int)(end - at) : 0;
    snprintf(place, sizeof place, "%.*s", len, end ? at : "");
    return el_problem_set(
        problem, err->status == EDGELLM_ERR_MEMORY ? EL_PROBLEM_INTERNAL : EL_PROBLEM_REQUEST,
        end ? place : "tools", "%s", err->message);
}

/* ---- the text ------------------------------------------------------------------------------ */

static void put_literal(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", file);
        else if (*text == '"' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else
            fputc(*text, file);
    }
}

/* One character that is none of these. */
static void put_other(FILE *file, const char *characters)
{
    fputs("[^", file);
    for (; *characters; characters++)
        fprintf(file, "%s%c", strchr("\\]^-\"", *characters) ? "\\" : "", *characters);
    fputs("]", file);
}

/*
 * What follows the first `from` bytes of the marker without making it whole. Where text may be
 * followed by calls its first byte begins anew, which is the caller's to allow; else anything may
 * stand behind the first byte that differs.
 */
static void put_no_marker(FILE *file, const el_call_form *form, size_t from)
{
    const char *marker = form->marker;
    const char next[2] = {marker[from], 0};
    const char both[3] = {marker[from], marker[0], 0};
    fputs("(", file);
    put_other(file, form->follows_text ? both : next);
    if (form->follows_text) {
        fputs(" ", file);
        put_other(file, (const char[2]){marker[0], 0});
        fputs("*", file);
    } else {
        fputs(" .*", file);
    }
    if (marker[from + 1]) {
        fputs(" | \"", file);
        put_literal(file, next);
        fputs("\" ", file);
        put_no_marker(file, form, from + 1);
    }
    fputs(")?", file);
}

/* Any text in which the marker is not, or, where a call is all of an answer, that does not begin
 * with it. */
static void put_text(FILE *file, const el_call_form *form)
{
    const char first[2] = {form->marker[0], 0};
    fputs("text ::= ", file);
    if (form->follows_text) {
        put_other(file, first);
        fputs("* (\"", file);
    } else {
        fputs("(", file);
        put_other(file, first);
        fputs(" .* | \"", file);
    }
    put_literal(file, first);
    fputs("\" ", file);
    put_no_marker(file, form, 1);
    fputs(form->follows_text ? ")*\n" : ")?\n", file);
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void put_root(FILE *file, const el_ask *ask, const el_call_form *form, uint32_t text)
{
    if (ask->tool_choice != EL_TOOLS_AUTO)
        fputs("root ::= calls\n", file);
    else if (text != NO_RULE)
        fprintf(file, "root ::= r%u | calls\n", text);
    else
        fputs(form->follows_text ? "root ::= text calls?\n" : "root ::= text | calls\n", file);
    if (ask->tool_choice == EL_TOOLS_AUTO && text == NO_RULE) put_text(file, form);
}

static void put_calls(FILE *file, const el_ask *ask, const el_call_form *form, const documents *d)
{
    const char *before = "";
    const uint32_t more = ask->many_calls ? form->most - 1 : 0;
    fputs("calls ::= call", file);
    if (more > 0) {
        fputs(" (\"", file);
        put_literal(file, form->between);
        fprintf(file, "\" call){0,%u}", more);
    }
    fputs("\ncall ::= \"", file);
    put_literal(file, form->marker);
    put_literal(file, form->head);
    fputs("\" (", file);
    for (uint32_t i = 0; i < ask->n_tools; i++) {
        if (!is_wanted(ask, i)) continue;
        fprintf(file, "%s\"%s", before, ask->tools[i].name);
        put_literal(file, form->middle);
        if (d->rule[i] == NO_RULE)
            fputs("{}\"", file);
        else
            fprintf(file, "\" r%u", d->rule[i]);
        before = " | ";
    }
    fputs(") \"", file);
    put_literal(file, form->close);
    fputs("\"\n", file);
}

static bool put_all(char **text, size_t *len, const el_ask *ask, const el_call_form *form,
                    const documents *d, const char *rules)
{
    FILE *file = open_memstream(text, len);
    if (!file) return false;
    put_root(file, ask, form, d->text);
    put_calls(file, ask, form, d);
    fputs(rules, file);
    const bool is_whole = !ferror(file);
    return fclose(file) == 0 && is_whole;
}

/* What the text keeps to; false: nothing that can stand beside calls. */
static bool find_text_schema(const el_ask *ask, const el_call_form *form, json_t *any,
                             const json_t **schema, el_problem *problem)
{
    *schema = ask->keeps == EL_KEEPS_SCHEMA ? ask->schema : any;
    if (ask->keeps == EL_KEEPS_NOTHING || ask->tool_choice != EL_TOOLS_AUTO) *schema = NULL;
    if (!*schema || form->follows_text) return true;
    return el_problem_set(problem, EL_PROBLEM_REQUEST, ask->keeps_field,
                          "beside 'tools' '%s' cannot be told from a call, which this model writes "
                          "as bare JSON: leave one out",
                          ask->keeps_field);
}

bool el_tool_grammar(const el_ask *ask, const el_call_form *form, char **text, size_t *len,
                     el_problem *problem)
{
    documents d;
    char *rules = NULL;
    size_t rules_len = 0;
    edgellm_error err = {EDGELLM_OK, ""};
    json_t *any = json_pack("{s:s}", "type", "object");
    const json_t *schema = NULL;
    *text = NULL;
    bool is_right = any ? find_text_schema(ask, form, any, &schema, problem)
                        : el_problem_set(problem, EL_PROBLEM_INTERNAL, NULL, "no memory");
    if (is_right) collect(&d, ask, schema);
    if (is_right && d.n > 0 &&
        el_schema_rules_of(d.list, d.n, &rules, &rules_len, &err) != EDGELLM_OK)
        is_right = fail(&err, problem);
    if (is_right && !put_all(text, len, ask, form, &d, rules ? rules : ""))
        is_right = el_problem_set(problem, EL_PROBLEM_INTERNAL, NULL, "no memory for a grammar");
    json_decref(any);
    free(rules);
    return is_right;
}
