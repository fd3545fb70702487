/* cmd_tokenize.c: `edgellm tokenize`: text to token ids, and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_model.h"
#include "cli/cli_output.h"

typedef struct tokenize_values {
    el_cli_model_values model; /* no option fills it in: defaults */
    const char *decode;
    bool special, ids, json;
} tokenize_values;

/* Bytes between quotes on one line: quotes, backslashes and control bytes as escapes. */
static void print_quoted(const el_cli_bytes *piece)
{
    putchar('"');
    for (size_t i = 0; i < piece->len; i++) {
        unsigned char c = (unsigned char)piece->text[i];
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c == '\n') {
            fputs("\\n", stdout);
        } else if (c < 32 || c == 127) {
            printf("\\x%02x", c);
        } else {
            putchar(c);
        }
    }
    puts("\"");
}

static edgellm_status print_pieces(const edgellm_engine *engine, const el_cli_tokens *tokens,
                                   edgellm_error *err)
{
    for (size_t i = 0; i < tokens->count; i++) {
        el_cli_bytes piece;
        EL_CLI_TRY(el_cli_detokenize(engine, &tokens->ids[i], 1, true, &piece, err));
        printf("%u\t", tokens->ids[i]);
        print_quoted(&piece);
        free(piece.text);
    }
    return EDGELLM_OK;
}

static void print_ids(const el_cli_tokens *tokens)
{
    for (size_t i = 0; i < tokens->count; i++)
        printf(i > 0 ? " %u" : "%u", tokens->ids[i]);
    putchar('\n');
}

static edgellm_status print_json(const edgellm_engine *engine, const el_cli_tokens *tokens,
                                 edgellm_error *err)
{
    json_t *o = json_object(), *ids = json_array(), *pieces = json_array();
    edgellm_status status = EDGELLM_OK;
    for (size_t i = 0; i < tokens->count && status == EDGELLM_OK; i++) {
        el_cli_bytes piece;
        status = el_cli_detokenize(engine, &tokens->ids[i], 1, true, &piece, err);
        if (status != EDGELLM_OK) break;
        json_array_append_new(ids, json_integer(tokens->ids[i]));
        json_array_append_new(pieces, el_cli_json_text(piece.text, piece.len));
        free(piece.text);
    }
    json_object_set_new(o, "count", json_integer((json_int_t)tokens->count));
    json_object_set_new(o, "ids", ids);
    json_object_set_new(o, "pieces", pieces);
    if (status == EDGELLM_OK) return el_cli_print_json(o, err);
    json_decref(o);
    return status;
}

static edgellm_status encode(const el_cli_model *model, const tokenize_values *v, const char *text,
                             size_t len, edgellm_error *err)
{
    el_cli_tokens tokens;
    unsigned flags = v->special ? EDGELLM_TOKENIZE_SPECIAL : EDGELLM_TOKENIZE_PLAIN;
    EL_CLI_TRY(el_cli_tokenize(model->engine, text, len, flags, &tokens, err));
    edgellm_status status = EDGELLM_OK;
    if (v->json) {
        status = print_json(model->engine, &tokens, err);
    } else if (v->ids) {
        print_ids(&tokens);
    } else {
        status = print_pieces(model->engine, &tokens, err);
    }
    free(tokens.ids);
    return status;
}

/* "1, 2 3" to ids; `list` is cut up. tokens->ids has room. */
static edgellm_status parse_ids(char *list, el_cli_tokens *tokens, edgellm_error *err)
{
    char *rest = NULL;
    for (char *word = strtok_r(list, ", \t\n", &rest); word != NULL;
         word = strtok_r(NULL, ", \t\n", &rest)) {
        uint64_t id;
        if (!el_cli_parse_whole(word, &id) || id > UINT32_MAX) {
            return el_cli_fail(err, EDGELLM_ERR_USAGE,
                               "bad number '%.80s' for --decode: expected token ids", word);
        }
        tokens->ids[tokens->count++] = (uint32_t)id;
    }
    return EDGELLM_OK;
}

static edgellm_status decode(const el_cli_model *model, const tokenize_values *v,
                             edgellm_error *err)
{
    size_t len = strlen(v->decode);
    char *list = strdup(v->decode);
    el_cli_tokens tokens = {calloc(len / 2 + 1, sizeof(uint32_t)), 0};
    el_cli_bytes text = {NULL, 0};
    edgellm_status status = EDGELLM_ERR_MEMORY;
    if (list == NULL || tokens.ids == NULL) {
        el_cli_fail(err, status, "no memory for the token ids");
    } else {
        status = parse_ids(list, &tokens, err);
    }
    if (status == EDGELLM_OK) {
        status = el_cli_detokenize(model->engine, tokens.ids, tokens.count, v->special, &text, err);
    }
    if (status == EDGELLM_OK) status = el_cli_write(text.text, text.len, err);
    free(list);
    free(tokens.ids);
    free(text.text);
    return status;
}

static edgellm_status encode_input(const el_cli_model *model, const tokenize_values *v,
                                   const char *operand, edgellm_error *err)
{
    el_cli_bytes bytes;
    if (operand != NULL) return encode(model, v, operand, strlen(operand), err);
    EL_CLI_TRY(el_cli_read("-", &bytes, err));
    edgellm_status status = encode(model, v, bytes.text, bytes.len, err);
    free(bytes.text);
    return status;
}

static edgellm_status tokenize(const void *values, char **operands, int n_operands,
                               edgellm_error *err)
{
    const tokenize_values *v = values;
    const char *text = n_operands > 1 ? operands[1] : NULL;
    el_cli_model model;
    if (v->decode != NULL && text != NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "give either TEXT or --decode, not both");
    }
    EL_CLI_TRY(el_cli_model_open(&model, operands[0], &v->model.engine, err));
    edgellm_status status =
        v->decode != NULL ? decode(&model, v, err) : encode_input(&model, v, text, err);
    el_cli_model_close(&model);
    return status;
}

#define FIELD(member) offsetof(tokenize_values, member)

static const el_cli_option options[] = {
    {"special", 0, EL_CLI_ON, FIELD(special), NULL, NULL,
     "names of special tokens are those tokens; --decode prints them", 0, 0, NULL},
    {"ids", 0, EL_CLI_ON, FIELD(ids), NULL, NULL, "print only the ids, on one line", 0, 0, NULL},
    {"decode", 0, EL_CLI_TEXT, FIELD(decode), "IDS", NULL,
     "print the text of token ids (\"1 2 3\" or \"1,2,3\")", 0, 0, NULL},
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object: count, ids, pieces", 0, 0,
     NULL},
    {0},
};

const el_cli_command el_cli_cmd_tokenize = {
    .name = "tokenize",
    .summary = "turn text into token ids, or ids into text",
    .synopsis = "tokenize MODEL [TEXT] [options]",
    .about = "Prints one token a line: its id and its text. Without TEXT standard input is read.\n",
    .examples = "  edgellm tokenize model.tm2.bin \"Hello, world\"\n"
                "  edgellm tokenize model.tm2.bin --ids < letter.txt\n"
                "  edgellm tokenize model.tm2.bin --special \"<|im_start|>user\"\n"
                "  edgellm tokenize model.tm2.bin --decode \"19556 905\"\n",
    .options = options,
    .values_size = sizeof(tokenize_values),
    .min_operands = 1,
    .max_operands = 2,
    .model = EL_CLI_RUNS_MODEL,
    .run = tokenize,
};
