/*
 * test_schema_memory.c: schemas to grammars as a program sees it: what is given back, what is left
 * alone, limits; and the Nth allocation, the module's or jansson's, fails, for every N.
 */
#include <jansson.h>
#include <stdlib.h>

#include "edgellm.h"
#include "schema/schema.h"
#include "support/failing_memory.h"
#include "support/test_help.h"

/* ---- tests -------------------------------------------------------------------------------- */

static const char *const schemas[] = {
    "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": [\"string\", \"null\"]},"
    " \"b\": {\"enum\": [0.1, \"x\", {\"c\": [1, 2.5]}]}, \"c\": {\"$ref\": \"#/$defs/n\"}},"
    " \"$defs\": {\"n\": {\"type\": \"number\", \"minimum\": 0.25, \"maximum\": 36.6}}}",
    "{\"type\": \"string\", \"pattern\": \"^(a|b)+[^x]$\"}",
    "{\"oneOf\": [{\"type\": \"integer\"}, {\"type\": \"null\"}]}",
    "{}",
};

/* A schema whose grammar is long: the text grows. */
static char *make_long(void)
{
    char *text = __real_malloc(EL_SCHEMA_BYTES);
    size_t used = (size_t)sprintf(text, "{\"properties\": {");
    for (int i = 0; i < 200; i++)
        used += (size_t)sprintf(text + used, "%s\"property%d\": {\"enum\": [\"a%d\", \"b%d\"]}",
                                i ? ", " : "", i, i, i);
    strcpy(text + used, "}}");
    return text;
}

/* True: no call was left that could fail. */
static bool run_failing(const char *schema, const char *expected)
{
    char *text = (char *)schema;
    size_t len = 1;
    edgellm_error err = {0};
    el_memory.calls = 0;
    const edgellm_status status = el_schema_grammar(schema, strlen(schema), &text, &len, &err);
    const bool was_reached = el_memory.failing <= el_memory.calls;
    el_memory.failing = 0;
    if (status == EDGELLM_OK) {
        assert_string_equal(text, expected);
        assert_int_equal(len, strlen(expected));
        free(text);
    } else {
        assert_true(was_reached);
        assert_int_equal(status, EDGELLM_ERR_MEMORY);
        assert_contains(err.message, "memory");
        assert_null(text);
        assert_int_equal(len, 0);
    }
    assert_int_equal(el_memory.in_use, 0);
    return !was_reached;
}

static void fail_each(const char *schema, bool lasting)
{
    char *expected;
    size_t len;
    edgellm_error err;
    el_memory.in_use = el_memory.failing = 0;
    assert_ok(el_schema_grammar(schema, strlen(schema), &expected, &len, &err));
    el_memory.in_use = 0; /* but for this text */
    el_memory.is_lasting = lasting;
    long n = 1;
    for (bool is_over = false; !is_over; n++) {
        assert_true(n < 10000);
        el_memory.failing = n;
        is_over = run_failing(schema, expected);
    }
    el_memory.is_lasting = false;
    assert_true(n > 4); /* the work, the text, jansson's */
    free(expected);
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    char *schema = make_long();
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        fail_each(schemas[i], false);
        fail_each(schemas[i], true);
    }
    fail_each(schema, false);
    fail_each(schema, true);
    __real_free(schema);
}

static void test_a_schema_that_was_read(void **state)
{
    (void)state;
    edgellm_error err;
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        char *text, *same;
        size_t len, same_len;
        json_t *read = json_loads(schemas[i], 0, NULL), *copy = json_deep_copy(read);
        assert_non_null(read);
        assert_ok(el_schema_grammar_of(read, &text, &len, &err));
        assert_true(json_equal(read, copy));
        assert_ok(el_schema_grammar(schemas[i], strlen(schemas[i]), &same, &same_len, &err));
        assert_string_equal(text, same);
        assert_int_equal(len, same_len);
        json_decref(read);
        json_decref(copy);
        free(text);
        free(same);
    }
}

static void test_an_error_needs_no_place(void **state)
{
    (void)state;
    char *text;
    size_t len;
    assert_int_equal(el_schema_grammar("[]", 2, &text, &len, NULL), EDGELLM_ERR_FORMAT);
    assert_null(text);
    assert_int_equal(el_schema_grammar("{\"a\0\": 1}", 9, &text, &len, NULL), EDGELLM_ERR_FORMAT);
}

/* References between many objects, and lists of alternatives that all refer to one another. */
static void test_work_is_bounded(void **state)
{
    (void)state;
    char *text, *schema = __real_malloc(EL_SCHEMA_BYTES);
    size_t len, used = (size_t)sprintf(schema, "{\"$ref\": \"#/$defs/0\", \"$defs\": {");
    edgellm_error err = {0};
    for (int i = 0; i < 40; i++) {
        used += (size_t)sprintf(schema + used, "%s\"%d\": {\"oneOf\": [", i ? ", " : "", i);
        for (int k = 0; k < 30; k++)
            used += (size_t)sprintf(schema + used, "%s{\"$ref\": \"#/$defs/%d\"}", k ? ", " : "",
                                    (i + k + 1) % 40);
        used += (size_t)sprintf(schema + used, "]}");
    }
    strcpy(schema + used, "}}");
    assert_true(strlen(schema) < EL_SCHEMA_BYTES);
    assert_int_equal(el_schema_grammar(schema, strlen(schema), &text, &len, &err),
                     EDGELLM_ERR_UNSUPPORTED);
    assert_contains(err.message, "schema: #");
    __real_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_fails),
        cmocka_unit_test(test_a_schema_that_was_read),
        cmocka_unit_test(test_an_error_needs_no_place),
        cmocka_unit_test(test_work_is_bounded),
    };
    json_set_alloc_funcs(__wrap_malloc, __wrap_free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
