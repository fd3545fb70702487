/* seed_schema.c: see seed_schema.h. */
#include "fuzz/seed_schema.h"

#include <string.h>

static const char *const rows[SEED_SCHEMAS][2] = {
    {"object", "{\"$schema\":\"s\",\"title\":\"t\",\"type\":\"object\",\"properties\":{\"a\":{"
               "\"type\":\"boolean\"},\"b\":{\"$ref\":\"#\"},\"c\\\"\":{\"type\":\"null\"}},"
               "\"required\":[\"c\\\"\"],\"additionalProperties\":false}"},
    {"first", "{\"properties\":{\"a\":{},\"b\":true,\"c\":{\"type\":\"string\"}}}"},
    {"map", "{\"additionalProperties\":{\"const\":[1,{\"x\":0.1}]},\"minProperties\":1,"
            "\"maxProperties\":3}"},
    {"list", "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"null\"},{\"type\":\"integer\"}],"
             "\"items\":{\"type\":[\"string\",\"null\"]},\"minItems\":1,\"maxItems\":5}"},
    {"refs", "{\"allOf\":[{\"$ref\":\"#/$defs/a\"},{\"properties\":{\"y\":{\"$ref\":"
             "\"#/definitions/b~1c/anyOf/0\"}}}],\"$defs\":{\"a\":{\"type\":\"object\","
             "\"properties\":{\"x\":{\"enum\":[1,\"\\n\",null]}}}},\"definitions\":{\"b/c\":{"
             "\"anyOf\":[{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}]}}}"},
    {"one", "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":1}},"
            "\"required\":[\"k\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"enum\":[2,3]}},"
            "\"required\":[]},{\"type\":\"string\"}]}"},
    {"integer", "{\"type\":\"integer\",\"minimum\":-120,\"exclusiveMaximum\":98765.5}"},
    {"number", "{\"type\":\"number\",\"exclusiveMinimum\":-0.25,\"maximum\":36.65}"},
    {"inside", "{\"minimum\":0.5,\"maximum\":0.507}"},
    {"length", "{\"type\":\"string\",\"minLength\":2,\"maxLength\":40}"},
    {"format", "{\"anyOf\":[{\"type\":\"string\",\"format\":\"date-time\"},{\"format\":\"uuid\"},"
               "{\"format\":\"date\"},{\"format\":\"time\"}]}"},
    {"pattern",
     "{\"pattern\":\"^(?:a|[^b-d\\\\]\\\"]{2,3}|\\\\d+?|)x*$|\\u00e9.\\\\S\\\\x41\\\\u20ac\"}"},
    {"endless", "{\"items\":{\"$ref\":\"#\"},\"minItems\":1}"},
    {"circle",
     "{\"anyOf\":[{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#\"}]}}}"},
};

el_bytes seed_schema(int index, const char **name)
{
    el_bytes b = {0};
    *name = rows[index][0];
    el_bytes_put(&b, rows[index][1], strlen(rows[index][1]));
    return b;
}
