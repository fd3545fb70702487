#include "cli/cli_options.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = EL_CLI_OPTIONS_MAX, ID_BASE = 256, ID_HELP = 255, HELP_COLUMN = 28 };

#define WHOLE_MAX 9007199254740991u /* 2^53-1: survives JSON readers that use doubles */

bool el_cli_parse_whole(const char *text, uint64_t *value)
{
    uint64_t sum = 0;
    if (*text == '\0') return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') return false;
        sum = sum * 10 + (uint64_t)(*text - '0');
        if (sum > WHOLE_MAX) return false;
    }
    *value = sum;
    return true;
}

static bool parse_real(const char *text, double *value)
{
    char *end = NULL;
    if (text[0] == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0') return false;
    *value = strtod(text, &end);
    return *end == '\0' && isfinite(*value);
}

/* Behind a whole number; powers of 1024 unless a B alone follows the letter. */
static const struct unit {
    const char *suffix;
    uint64_t bytes;
} units[] = {
    {"", 1},          {"K", 1 << 10},   {"M", 1 << 20}, {"G", 1 << 30},  {"KiB", 1 << 10},
    {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1000},   {"MB", 1000000}, {"GB", 1000000000},
};

static bool parse_size(const char *text, uint64_t *value)
{
    char digits[24];
    size_t len = strspn(text, "0123456789");
    if (len == 0 || len >= sizeof digits) return false;
    memcpy(digits, text, len);
    digits[len] = '\0';
    if (!el_cli_parse_whole(digits, value)) return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(units[i].suffix, text + len) != 0) continue;
        if (*value > WHOLE_MAX / units[i].bytes) return false;
        *value *= units[i].bytes;
        return true;
    }
    return false;
}

/* ---- one setter for each kind; false: the word is not of this kind or out of range -------- */

static bool in_range(const el_cli_option *option, double value)
{
    return value >= option->min && value <= option->max;
}

static bool set_on(const el_cli_option *option, const char *word, void *field)
{
    (void)option, (void)word;
    *(bool *)field = true;
    return true;
}

static bool set_off(const el_cli_option *option, const char *word, void *field)
{
    (void)option, (void)word;
    *(bool *)field = false;
    return true;
}

static bool set_text(const el_cli_option *option, const char *word, void *field)
{
    (void)option;
    *(const char **)field = word;
    return true;
}

static bool set_text_if_any(const el_cli_option *option, const char *word, void *field)
{
    return set_text(option, word != NULL ? word : "", field);
}

static bool set_texts(const el_cli_option *option, const char *word, void *field)
{
    el_cli_texts *texts = field;
    (void)option;
    if (texts->n == EL_CLI_TEXTS_MAX) return false;
    texts->text[texts->n++] = word;
    return true;
}

static bool set_u32(const el_cli_option *option, const char *word, void *field)
{
    uint64_t value;
    if (!el_cli_parse_whole(word, &value) || value > UINT32_MAX) return false;
    *(uint32_t *)field = (uint32_t)value;
    return in_range(option, (double)value);
}

static bool set_i32(const el_cli_option *option, const char *word, void *field)
{
    uint64_t value;
    const bool negative = word[0] == '-';
    if (!el_cli_parse_whole(word + negative, &value) || value > INT32_MAX) return false;
    *(int32_t *)field = negative ? -(int32_t)value : (int32_t)value;
    return in_range(option, (double)*(int32_t *)field);
}

static const el_cli_choice *find_choice(const el_cli_option *option, const char *word)
{
    for (const el_cli_choice *c = option->list; c != NULL && c->word != NULL; c++) {
        if (strcmp(c->word, word) == 0) return c;
    }
    return NULL;
}

static bool set_u64(const el_cli_option *option, const char *word, void *field)
{
    const el_cli_choice *choice = find_choice(option, word);
    if (choice != NULL) {
        *(uint64_t *)field = choice->value;
        return true;
    }
    return el_cli_parse_whole(word, field) && in_range(option, (double)*(uint64_t *)field);
}

static bool set_float(const el_cli_option *option, const char *word, void *field)
{
    double value;
    if (!parse_real(word, &value) || !in_range(option, value)) return false;
    *(float *)field = (float)value;
    return true;
}

static bool set_size(const el_cli_option *option, const char *word, void *field)
{
    return parse_size(word, field) && in_range(option, (double)*(uint64_t *)field);
}

static bool set_choice(const el_cli_option *option, const char *word, void *field)
{
    const el_cli_choice *choice = find_choice(option, word);
    if (choice == NULL) return false;
    *(uint32_t *)field = (uint32_t)choice->value;
    return true;
}

/* ---- and the reverse, for what a running program shows ------------------------------------- */

static const char *show_text(const el_cli_option *option, const void *field, char *room,
                             size_t size)
{
    const char *text = *(const char *const *)field;
    (void)option, (void)room, (void)size;
    return text != NULL ? text : "";
}

static const char *show_u32(const el_cli_option *option, const void *field, char *room, size_t size)
{
    (void)option;
    snprintf(room, size, "%u", *(const uint32_t *)field);
    return room;
}

static const char *show_i32(const el_cli_option *option, const void *field, char *room, size_t size)
{
    (void)option;
    snprintf(room, size, "%d", *(const int32_t *)field);
    return room;
}

static const char *show_u64(const el_cli_option *option, const void *field, char *room, size_t size)
{
    const uint64_t value = *(const uint64_t *)field;
    for (const el_cli_choice *c = option->list; c != NULL && c->word != NULL; c++) {
        if (c->value == value) return c->word;
    }
    snprintf(room, size, "%llu", (unsigned long long)value);
    return room;
}

/* As few digits as give the same float again. */
static const char *show_float(const el_cli_option *option, const void *field, char *room,
                              size_t size)
{
    const float value = *(const float *)field;
    (void)option;
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(room, size, "%.*g", digits, (double)value);
        if ((float)strtod(room, NULL) == value) break;
    }
    return room;
}

static const struct kind_row {
    bool (*set)(const el_cli_option *option, const char *word, void *field);
    int argument;          /* as getopt's: no_argument, ... */
    const char *complaint; /* "bad COMPLAINT 'x' for ..." */
    const char *expected;  /* before the range; NULL: list the choices */
    const char *(*show)(const el_cli_option *option, const void *field, char *room, size_t size);
} kinds[EL_CLI_KINDS] = {
    [EL_CLI_ON] = {set_on, no_argument, "", "", NULL},
    [EL_CLI_OFF] = {set_off, no_argument, "", "", NULL},
    [EL_CLI_TEXT] = {set_text, required_argument, "", "", show_text},
    [EL_CLI_TEXT_IF_ANY] = {set_text_if_any, optional_argument, "", "", show_text},
    [EL_CLI_INPUT] = {set_text, required_argument, "", "", show_text},
    [EL_CLI_OUTPUT] = {set_text, required_argument, "", "", show_text},
    [EL_CLI_TEXTS] = {set_texts, required_argument, "", "", NULL},
    [EL_CLI_ADAPTERS] = {set_texts, required_argument, "", "", NULL},
    [EL_CLI_U32] = {set_u32, required_argument, "number", "a whole number", show_u32},
    [EL_CLI_U64] = {set_u64, required_argument, "number", "a whole number", show_u64},
    [EL_CLI_I32] = {set_i32, required_argument, "number", "a whole number", show_i32},
    [EL_CLI_FLOAT] = {set_float, required_argument, "number", "a number", show_float},
    [EL_CLI_SIZE] = {set_size, required_argument, "number",
                     "bytes, or K, M, G (1024 each), KB, MB, GB (1000 each) after a whole number,",
                     NULL},
    [EL_CLI_CHOICE] = {set_choice, required_argument, "value", NULL, NULL},
};

/* ---- tables in tables --------------------------------------------------------------------- */

/* Appends the rows of a table, those of tables in it included. */
static size_t append(el_cli_option *list, size_t n, const el_cli_option *table, size_t field)
{
    for (const el_cli_option *o = table; o->name != NULL; o++) {
        if (o->kind == EL_CLI_TABLE) {
            n = append(list, n, o->list, field + o->field);
        } else if (n < MAX_OPTIONS) {
            list[n] = *o;
            list[n++].field += field;
        }
    }
    return n;
}

void el_cli_flatten(const el_cli_option *table, el_cli_option_list list)
{
    size_t n = append(list, 0, table, 0);
    list[n] = (el_cli_option){.name = NULL};
}

/* ---- messages ----------------------------------------------------------------------------- */

/* "-n/--tokens" or "--tokens". */
static void option_title(const el_cli_option *option, char *text, size_t size)
{
    if (option->letter != 0) {
        snprintf(text, size, "-%c/--%s", option->letter, option->name);
    } else {
        snprintf(text, size, "--%s", option->name);
    }
}

static void list_choices(const el_cli_option *option, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (const el_cli_choice *c = option->list; c->word != NULL && used < size; c++) {
        int n = snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", c->word);
        used += n > 0 ? (size_t)n : 0;
    }
}

static edgellm_status bad_value(const el_cli_option *option, const char *word, edgellm_error *err)
{
    const struct kind_row *kind = &kinds[option->kind];
    char title[64];
    option_title(option, title, sizeof title);
    if (option->kind == EL_CLI_TEXTS || option->kind == EL_CLI_ADAPTERS) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "%s can be given %d times: '%.80s' is too many",
                           title, EL_CLI_TEXTS_MAX, word);
    }
    if (kind->expected == NULL) {
        char list[160];
        list_choices(option, list, sizeof list);
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "bad value '%.80s' for %s: expected one of %s",
                           word, title, list);
    }
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "bad %s '%.80s' for %s: expected %s from %.10g to %.16g", kind->complaint,
                       word, title, kind->expected, option->min, option->max);
}

static edgellm_status store(const el_cli_option *option, const char *word, void *values,
                            edgellm_error *err)
{
    void *field = (char *)values + option->field;
    if (kinds[option->kind].set(option, word, field)) return EDGELLM_OK;
    return bad_value(option, word, err);
}

edgellm_status el_cli_set(const el_cli_option *table, const char *name, const char *word,
                          void *values, edgellm_error *err)
{
    el_cli_option_list list;
    el_cli_flatten(table, list);
    for (const el_cli_option *o = list; o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0) return store(o, word, values, err);
    }
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "there is no parameter '%.80s'", name);
}

const char *el_cli_show(const el_cli_option *option, const void *values, char *room, size_t size)
{
    const struct kind_row *kind = &kinds[option->kind];
    if (kind->show == NULL) return NULL;
    return kind->show(option, (const char *)values + option->field, room, size);
}

static edgellm_status set_defaults(const el_cli_option *options, void *values, edgellm_error *err)
{
    for (const el_cli_option *o = options; o->name != NULL; o++) {
        if (o->initial != NULL) EL_CLI_TRY(store(o, o->initial, values, err));
    }
    return EDGELLM_OK;
}

/* ---- parsing ------------------------------------------------------------------------------ */

typedef struct getopt_tables {
    struct option longs[MAX_OPTIONS + 2];
    char letters[3 * MAX_OPTIONS + 8];
} getopt_tables;

/* getopt's two descriptions of the same options. */
static void describe(const el_cli_option *options, getopt_tables *tables)
{
    size_t n = 0, used = 0;
    tables->letters[used++] = ':'; /* report a missing argument as ':' */
    tables->letters[used++] = 'h';
    for (; n < MAX_OPTIONS && options[n].name != NULL; n++) {
        const int argument = kinds[options[n].kind].argument;
        tables->longs[n] = (struct option){options[n].name, argument, NULL, (int)(ID_BASE + n)};
        if (options[n].letter == 0) continue;
        tables->letters[used++] = options[n].letter;
        for (int i = 0; i < argument; i++) /* "x:" needs one, "x::" may have one */
            tables->letters[used++] = ':';
    }
    tables->longs[n] = (struct option){"help", no_argument, NULL, ID_HELP};
    tables->longs[n + 1] = (struct option){NULL, 0, NULL, 0};
    tables->letters[used] = '\0';
}

static const el_cli_option *option_of_id(const el_cli_option *options, int id)
{
    if (id >= ID_BASE) return &options[id - ID_BASE];
    for (; options->name != NULL; options++) {
        if (options->letter == id) return options;
    }
    return NULL;
}

/* What getopt complained about: `id` is '?' or ':'. */
static edgellm_status bad_option(const el_cli_command *command, int id, char **argv,
                                 edgellm_error *err)
{
    char letter[3] = {'-', (char)optopt, '\0'};
    bool is_letter = optopt != 0 && optopt < ID_HELP; /* a byte above 127 is negative */
    const char *typed = is_letter ? letter : argv[optind - 1];
    const char *what = id == ':' ? "needs an argument" : "is unknown or ambiguous";
    if (id != ':' && optopt >= ID_HELP) what = "takes no argument";
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "option '%.80s' %s (see edgellm %s --help)", typed,
                       what, command->name);
}

static edgellm_status check_operands(const el_cli_command *command, int n, edgellm_error *err)
{
    if (n >= command->min_operands && n <= command->max_operands) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "%s: usage: edgellm %s",
                       n < command->min_operands ? "an argument is missing" : "too many arguments",
                       command->synopsis);
}

edgellm_status el_cli_parse(const el_cli_command *command, int argc, char **argv, void *values,
                            char ***operands, bool *help, edgellm_error *err)
{
    getopt_tables tables;
    el_cli_option_list options;
    int id;
    el_cli_flatten(command->options, options);
    describe(options, &tables);
    EL_CLI_TRY(set_defaults(options, values, err));
    opterr = 0;
    while ((id = getopt_long(argc, argv, tables.letters, tables.longs, NULL)) != -1) {
        if (id == ID_HELP || id == 'h') {
            *help = true;
            return EDGELLM_OK;
        }
        if (id == '?' || id == ':') return bad_option(command, id, argv, err);
        EL_CLI_TRY(store(option_of_id(options, id), optarg, values, err));
    }
    *operands = argv + optind;
    return check_operands(command, argc - optind, err);
}

/* ---- help --------------------------------------------------------------------------------- */

static void print_option(const el_cli_option *option, FILE *out)
{
    static const char *const around[][2] = {[no_argument] = {"", ""},
                                            [required_argument] = {" ", ""},
                                            [optional_argument] = {"[=", "]"}};
    const char *const *signs = around[kinds[option->kind].argument];
    char head[80], letter[8] = "    ";
    if (option->letter != 0) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(head, sizeof head, "  %s--%s%s%s%s", letter, option->name, signs[0],
             option->argument != NULL ? option->argument : "", signs[1]);
    fprintf(out, "%-*s  %s", HELP_COLUMN, head, option->help);
    if (option->initial != NULL) fprintf(out, " [%s]", option->initial);
    fputc('\n', out);
}

void el_cli_print_help(const el_cli_command *command, FILE *out)
{
    el_cli_option_list options;
    el_cli_flatten(command->options, options);
    fprintf(out, "usage: edgellm %s\n\n%s\noptions:\n", command->synopsis, command->about);
    for (const el_cli_option *o = options; o->name != NULL; o++)
        print_option(o, out);
    fprintf(out, "%-*s  %s\n", HELP_COLUMN, "  -h, --help", "this text");
    fprintf(out, "\nexamples:\n%s\nExit codes: see edgellm --help.\n", command->examples);
}
