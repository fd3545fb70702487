/*
 * test_calibrate.c: tokens for calibration. What a model writes depends on the model, the seed and
 * the number of the sequence, never on threads; of files, even pieces; and whatever stops the work
 * leaves nothing behind.
 */
#include "support/test_help.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "format/ggml_types.h"
#include "format/gguf.h"
#include "offline/calibrate.h"
#include "offline/calibrate_seeds.h"
#include "quant/quantize.h"
#include "support/tiny_file.h"
#include "support/tiny_model.h"

enum { SEQUENCES = 48, LENGTH = 120, TRAINED = 256 };

#define TEXT EL_TEST_OUT "/calibrate.txt"

static const el_calibrate_options plain = {
    .sequences = SEQUENCES, .length = LENGTH, .seed = 1, .threads = 1};

typedef struct fixture {
    edgellm_engine *engines[2]; /* texts begin with nothing, with <|im_start|> */
    el_calibration written[2];  /* with the options `plain` */
} fixture;

static el_calibration write_self(const edgellm_engine *engine, const el_calibrate_options *o)
{
    el_calibration c = {0};
    edgellm_error err;
    assert_ok(el_calibrate_self(engine, o, &c, &err));
    assert_int_equal(c.sequences, o->sequences);
    assert_int_equal(c.length, o->length);
    assert_int_equal(c.vocab, EL_TINY_VOCAB);
    for (size_t i = 0; i < (size_t)c.sequences * c.length; i++)
        assert_true(c.tokens[i] < c.vocab);
    return c;
}

static size_t bytes_of(const el_calibration *c)
{
    return (size_t)c->sequences * c->length * sizeof *c->tokens;
}

static const uint32_t *sequence(const el_calibration *c, uint32_t i)
{
    return c->tokens + (size_t)i * c->length;
}

/* ---- the model's own text ------------------------------------------------------------------ */

static void test_threads_change_nothing(void **state)
{
    const fixture *f = *state;
    for (int kind = 0; kind < 2; kind++) {
        for (uint32_t threads = 0; threads <= 3; threads++) {
            el_calibrate_options o = plain;
            o.threads = threads;
            el_calibration c = write_self(f->engines[kind], &o);
            assert_memory_equal(c.tokens, f->written[kind].tokens, bytes_of(&c));
            el_calibration_free(&c);
        }
    }
}

static void test_a_sequence_depends_on_its_number_only(void **state)
{
    const fixture *f = *state;
    el_calibrate_options o = plain;
    o.sequences = 3;
    el_calibration c = write_self(f->engines[0], &o);
    assert_memory_equal(c.tokens, f->written[0].tokens, bytes_of(&c));
    el_calibration_free(&c);
}

static void test_another_seed_gives_other_texts(void **state)
{
    const fixture *f = *state;
    el_calibrate_options o = plain;
    o.seed = 2;
    el_calibration c = write_self(f->engines[0], &o);
    uint32_t same = 0;
    for (uint32_t i = 0; i < SEQUENCES; i++)
        same +=
            memcmp(sequence(&c, i), sequence(&f->written[0], i), LENGTH * sizeof(uint32_t)) == 0;
    assert_int_equal(same, 0);
    el_calibration_free(&c);
}

static void test_sequences_differ(void **state)
{
    const el_calibration *c = &((fixture *)*state)->written[0];
    for (uint32_t i = 0; i < SEQUENCES; i++)
        for (uint32_t k = 0; k < i; k++)
            assert_memory_not_equal(sequence(c, i), sequence(c, k), LENGTH * sizeof(uint32_t));
}

static void test_every_length_is_filled(void **state)
{
    static const uint32_t lengths[] = {2, 3, 7, 31, TRAINED};
    const fixture *f = *state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        el_calibrate_options o = plain;
        o.length = lengths[i];
        o.threads = 2;
        for (int kind = 0; kind < 2; kind++) {
            el_calibration c = write_self(f->engines[kind], &o);
            el_calibration_free(&c);
        }
    }
}

static uint32_t count_beginning_with(const el_calibration *c, uint32_t token)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->sequences; i++)
        n += sequence(c, i)[0] == token;
    return n;
}

/* 34 in 100 texts are conversations, spread evenly; the other vocabulary asks for a first token. */
static void test_sequences_begin_as_the_engine_begins(void **state)
{
    const fixture *f = *state;
    assert_in_range(count_beginning_with(&f->written[0], EL_TINY_IM_START), 15, 17);
    assert_int_equal(count_beginning_with(&f->written[1], EL_TINY_IM_START), SEQUENCES);
}

/* All sequences as text, NUL-terminated. */
static char *text_of(const edgellm_engine *engine, const el_calibration *c)
{
    const size_t count = (size_t)c->sequences * c->length;
    size_t len = 0;
    assert_int_equal(edgellm_detokenize(engine, c->tokens, count, true, NULL, 0, &len, NULL), 0);
    char *text = calloc(1, len + 1);
    assert_non_null(text);
    assert_int_equal(edgellm_detokenize(engine, c->tokens, count, true, text, len, &len, NULL), 0);
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\0') text[i] = ' '; /* a byte like others, but not for strstr() */
    return text;
}

static uint32_t occurrences(const char *text, const char *part)
{
    uint32_t n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

/* How many openings of the list stand in the text, by their first characters? */
static uint32_t met(const char *text, const el_seed_list *list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        char start[11] = "";
        snprintf(start, sizeof start, "%s", list->texts[i]);
        n += strstr(text, start) != NULL;
    }
    return n;
}

static void test_every_opening_is_used(void **state)
{
    const fixture *f = *state;
    el_calibrate_options o = plain;
    o.sequences = 800;
    o.length = 32;
    el_calibration c = write_self(f->engines[0], &o);
    char *text = text_of(f->engines[0], &c);
    assert_in_range(el_seeds_openings.count, 60, 800);
    assert_int_equal(met(text, &el_seeds_openings), el_seeds_openings.count);
    assert_int_equal(met(text, &el_seeds_questions), el_seeds_questions.count);
    assert_int_equal(met(text, &el_seeds_halves), el_seeds_halves.count);
    free(text);
    el_calibration_free(&c);
}

/* Some lines end in two bytes, most in one; and no end is doubled. */
static void test_some_lines_end_in_two_bytes(void **state)
{
    const fixture *f = *state;
    char *text = text_of(f->engines[0], &f->written[0]);
    assert_in_range(occurrences(text, "\r\n"), 5, occurrences(text, "\n") / 2);
    assert_int_equal(occurrences(text, "\r\r\n"), 0);
    free(text);
}

/* ---- chat templates ------------------------------------------------------------------------ */

/* An engine on the model in a GGUF file. */
static edgellm_engine *open_source(const char *source)
{
    const char *target = EL_TEST_OUT "/calibrate.tm2.bin";
    const el_quantize_options options = {.group = 32, .embedding_group = 32};
    el_quantize_result result;
    edgellm_engine *engine = NULL;
    edgellm_error err;
    assert_ok(el_quantize(source, target, &options, &result, &err));
    assert_ok(edgellm_engine_open(target, NULL, &engine, &err));
    return engine;
}

/* An engine on a tiny model whose chat template is another text. */
static edgellm_engine *open_with_template(const char *template)
{
    static const char key[] = "tokenizer.chat_template";
    const char *source = EL_TEST_OUT "/calibrate.gguf";
    const el_tiny_spec spec = el_tiny_defaults();
    el_bytes gguf = {0};
    uint64_t len = 0;
    el_tiny_gguf(&spec, &gguf);
    uint8_t *at = memmem(gguf.data, gguf.size, key, strlen(key));
    assert_non_null(at);
    at += strlen(key) + sizeof(uint32_t);
    memcpy(&len, at, sizeof len);
    assert_true(strlen(template) <= len);
    memset(at + sizeof len, ' ', len);
    memcpy(at + sizeof len, template, strlen(template));
    assert_true(el_bytes_save(&gguf, source));
    free(gguf.data);
    return open_source(source);
}

/* Sequences that begin with the text, special tokens by name. */
static uint32_t beginning_with_text(const edgellm_engine *engine, const el_calibration *c,
                                    const char *text)
{
    uint32_t tokens[64], n = 0;
    size_t count = 0;
    edgellm_error err;
    assert_ok(edgellm_tokenize(engine, text, strlen(text), EDGELLM_TOKENIZE_SPECIAL, tokens, 64,
                               &count, &err));
    assert_in_range(count, 1, 64);
    for (uint32_t i = 0; i < c->sequences; i++)
        n += memcmp(sequence(c, i), tokens, count * sizeof *tokens) == 0;
    return n;
}

/* 23 in 100 texts are conversations with the model's own system message, 11 are without. */
static void test_conversations_have_a_system_message_or_none(void **state)
{
    const char *system = "<|im_start|>system\nBe kind.<|im_end|>\n";
    edgellm_engine *engine = open_with_template("'<|im_start|>system\nBe kind.<|im_end|>\n'");
    el_calibration c = write_self(engine, &plain);
    (void)state;
    assert_in_range(beginning_with_text(engine, &c, system), 10, 12);
    assert_in_range(beginning_with_text(engine, &c, "<|im_start|>user\n"), 4, 7);
    el_calibration_free(&c);
    edgellm_engine_close(engine);
}

/* How many of our openings of plain texts stand in `text`. */
static size_t openings_in(const char *text)
{
    size_t n = 0;
    for (size_t i = 0; i < el_seeds_openings.count; i++)
        n += strstr(text, el_seeds_openings.texts[i]) != NULL;
    return n;
}

static void test_a_model_without_a_template_writes_no_conversations(void **state)
{
    edgellm_engine *engine = open_with_template("");
    el_calibrate_options o = plain;
    (void)state;
    for (o.threads = 1; o.threads <= 2; o.threads++) {
        el_calibration c = write_self(engine, &o);
        char *text = text_of(engine, &c);
        assert_int_equal(count_beginning_with(&c, EL_TINY_IM_START), 0);
        assert_int_equal(occurrences(text, "<|im_start|>assistant\n"), 0);
        assert_true(openings_in(text) > 0);
        free(text);
        el_calibration_free(&c);
    }
    edgellm_engine_close(engine);
}

/* ---- ends ---------------------------------------------------------------------------------- */

/* Weights are noise, so ends are drawn now and then: texts follow each other with one between. */
static void test_an_end_is_followed_by_another_text(void **state)
{
    const fixture *f = *state;
    uint32_t ends = 0;
    for (size_t i = 0; i < (size_t)SEQUENCES * LENGTH; i++)
        ends += edgellm_is_end(f->engines[1], f->written[1].tokens[i]);
    assert_true(ends > SEQUENCES / 4);
}

/* The longest stretch of tokens that repeats those a few tokens before. */
static uint32_t longest_circle(const uint32_t *tokens, uint32_t n)
{
    uint32_t longest = 0;
    for (uint32_t period = 1; period <= 8; period++) {
        uint32_t run = 0;
        for (uint32_t i = period; i < n; i++) {
            run = tokens[i] == tokens[i - period] ? run + 1 : 0;
            if (run > longest) longest = run;
        }
    }
    return longest;
}

/* A model that says the same token over and over: its embedding, which is the head too, is so
 * large that the layers add next to nothing to it. */
static edgellm_engine *open_parrot(void)
{
    const char *source = EL_TEST_OUT "/calibrate.gguf";
    el_tiny_spec spec = el_tiny_defaults();
    edgellm_error err;
    el_gguf file;
    el_bytes bytes = {0};
    spec.matrix_type = spec.embedding_type = EL_GGML_F32;
    if (!el_tiny_write(&spec, source) || !el_bytes_load(&bytes, source)) abort();
    assert_ok(el_gguf_open(&file, source, &err));
    const el_gguf_tensor *embedding = el_gguf_find(&file, "token_embd.weight");
    float *weights = (float *)(void *)(bytes.data + (embedding->data - file.map.data));
    for (size_t i = 0; i < (size_t)embedding->rows * embedding->cols; i++)
        weights[i] *= 64;
    el_gguf_close(&file);
    assert_true(el_bytes_save(&bytes, source));
    free(bytes.data);
    return open_source(source);
}

/* Texts that go in circles are broken off, without the circles, and others take their place. */
static void test_no_text_goes_in_circles(void **state)
{
    edgellm_engine *parrot = open_parrot();
    el_calibrate_options o = plain;
    uint32_t longest = 0, beginnings = 0, ends = 0;
    (void)state;
    o.length = TRAINED;
    el_calibration c = write_self(parrot, &o);
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        const uint32_t *s = sequence(&c, i), n = longest_circle(s, c.length);
        if (n > longest) longest = n;
        for (uint32_t k = 0; k < c.length; k++) {
            beginnings += s[k] == EL_TINY_IM_START;
            ends += s[k] == EL_TINY_END_OF_TEXT;
        }
    }
    assert_in_range(longest, 1, 45); /* at the end of a sequence: not long enough to be sure */
    assert_true(beginnings > SEQUENCES / 2);
    assert_true(ends > SEQUENCES);
    el_calibration_free(&c);
    edgellm_engine_close(parrot);
}

/* How often the most frequent three neighbours stand in a sequence, circles counted once. */
static uint32_t most_frequent_three(const uint32_t *tokens, uint32_t n)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i + 3 <= n; i++) {
        uint32_t count = 1;
        for (uint32_t k = i + 12; k + 3 <= n; k++) {
            if (memcmp(tokens + i, tokens + k, 3 * sizeof *tokens) != 0) continue;
            count++;
            k += 11;
        }
        if (count > most) most = count;
    }
    return most;
}

/* Weights are noise: no three tokens come together four times by themselves. */
static void test_some_texts_have_an_odd_word(void **state)
{
    edgellm_engine *engine = open_with_template(""); /* no turns, which repeat */
    el_calibrate_options o = plain;
    uint32_t odd = 0;
    (void)state;
    o.length = TRAINED;
    o.sequences = 2 * SEQUENCES;
    el_calibration c = write_self(engine, &o);
    for (uint32_t i = 0; i < c.sequences; i++)
        odd += most_frequent_three(sequence(&c, i), c.length) >= 4;
    assert_in_range(odd, 2, c.sequences / 4);
    el_calibration_free(&c);
    edgellm_engine_close(engine);
}

/* ---- stopping ------------------------------------------------------------------------------ */

typedef struct watch {
    uint32_t calls, allowed, last;
    bool backwards, after_stop, wrong_total;
    _Atomic int inside; /* calls at the same time */
    bool overlap;
} watch;

static bool look(void *context, uint32_t done, uint32_t total)
{
    watch *w = context;
    if (atomic_fetch_add(&w->inside, 1) != 0) w->overlap = true;
    if (done < w->last) w->backwards = true;
    if (w->calls > w->allowed) w->after_stop = true;
    if (total != SEQUENCES || done > total) w->wrong_total = true;
    w->last = done;
    w->calls++;
    if (w->calls > w->allowed) usleep(3000); /* the others come to ask meanwhile */
    atomic_fetch_sub(&w->inside, 1);
    return w->calls <= w->allowed;
}

static void check_watch(const watch *w)
{
    assert_false(w->overlap);
    assert_false(w->backwards);
    assert_false(w->after_stop);
    assert_false(w->wrong_total);
}

static void test_progress_is_told(void **state)
{
    const fixture *f = *state;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        watch w = {.allowed = UINT32_MAX};
        el_calibrate_options o = plain;
        o.threads = threads;
        o.progress = look;
        o.progress_context = &w;
        el_calibration c = write_self(f->engines[0], &o);
        check_watch(&w);
        assert_int_equal(w.last, SEQUENCES);
        assert_true(w.calls >= 2 * SEQUENCES); /* between sequences too */
        el_calibration_free(&c);
    }
}

static void test_it_can_be_interrupted_at_any_time(void **state)
{
    const fixture *f = *state;
    for (uint32_t allowed = 0; allowed < 2 * SEQUENCES; allowed += 5) {
        for (uint32_t threads = 1; threads <= 3; threads += 2) {
            watch w = {.allowed = allowed};
            el_calibrate_options o = plain;
            el_calibration c = {.sequences = 7, .length = 8, .vocab = 9, .tokens = NULL};
            edgellm_error err = {0};
            o.threads = threads;
            o.progress = look;
            o.progress_context = &w;
            assert_int_equal(el_calibrate_self(f->engines[0], &o, &c, &err),
                             EDGELLM_ERR_INTERRUPTED);
            check_watch(&w);
            assert_int_equal(w.calls, allowed + 1);
            assert_true(c.sequences == 7 && c.length == 8 && c.vocab == 9 && c.tokens == NULL);
            assert_string_equal(err.message, "interrupted");
        }
    }
}

/* ---- options ------------------------------------------------------------------------------- */

static void test_options_out_of_range_are_refused(void **state)
{
    static const struct {
        uint32_t sequences, length, threads;
        const char *says[2];
    } rows[] = {
        {0, 10, 1, {"0 sequences", "1 to 65536"}},
        {65537, 10, 1, {"65537 sequences", "1 to 65536"}},
        {1, 0, 1, {"of 0 tokens", "2 to 256"}},
        {1, 1, 1, {"of 1 tokens", "2 to 256"}},
        {1, TRAINED + 1, 1, {"of 257 tokens", "2 to 256"}},
        {1, UINT32_MAX, 1, {"of 4294967295 tokens", "2 to 256"}},
        {1, 10, 65, {"65 threads", "at most 64"}},
    };
    const fixture *f = *state;
    put_file(TEXT, "some text that is long enough for all of these");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const el_calibrate_options o = {
            .sequences = rows[i].sequences, .length = rows[i].length, .threads = rows[i].threads};
        el_calibration c = {.sequences = 77};
        for (int file = 0; file < 2; file++) {
            edgellm_error err = {0};
            const edgellm_status status = file
                                              ? el_calibrate_file(f->engines[0], TEXT, &o, &c, &err)
                                              : el_calibrate_self(f->engines[0], &o, &c, &err);
            assert_int_equal(status, EDGELLM_ERR_USAGE);
            assert_contains(err.message, rows[i].says[0]);
            assert_contains(err.message, rows[i].says[1]);
            assert_int_equal(c.sequences, 77);
        }
    }
}

/* ---- files --------------------------------------------------------------------------------- */

/* A file of `n` characters of which no two neighbours are merged: a token each. */
static void put_letters(size_t n)
{
    char text[1024];
    assert_true(n < sizeof text);
    for (size_t i = 0; i < n; i++)
        text[i] = "0123456789"[i * i / 3 % 10];
    text[n] = '\0';
    put_file(TEXT, text);
}

static size_t file_tokens(const edgellm_engine *engine, uint32_t *tokens, size_t capacity)
{
    el_bytes text = {0};
    size_t count = 0;
    assert_true(el_bytes_load(&text, TEXT));
    assert_int_equal(edgellm_tokenize(engine, (const char *)text.data, text.size, 0, tokens,
                                      capacity, &count, NULL),
                     EDGELLM_OK);
    free(text.data);
    return count;
}

static el_calibration cut_file(const edgellm_engine *engine, uint32_t sequences, uint32_t length)
{
    const el_calibrate_options o = {.sequences = sequences, .length = length};
    el_calibration c = {0};
    edgellm_error err;
    assert_ok(el_calibrate_file(engine, TEXT, &o, &c, &err));
    assert_int_equal(c.length, length);
    assert_int_equal(c.vocab, EL_TINY_VOCAB);
    return c;
}

/* Pieces of `body` tokens begin at equal distances and do not overlap. */
static void check_pieces(const edgellm_engine *engine, uint32_t asked, uint32_t length, bool bos)
{
    uint32_t tokens[1024];
    const size_t count = file_tokens(engine, tokens, 1024), body = length - bos;
    const size_t n = count / body < asked ? count / body : asked;
    el_calibration c = cut_file(engine, asked, length);
    assert_int_equal(c.sequences, n);
    for (size_t i = 0; i < n; i++) {
        const uint32_t *s = sequence(&c, (uint32_t)i);
        if (bos) assert_int_equal(s[0], EL_TINY_IM_START);
        assert_memory_equal(s + bos, tokens + count * i / n, body * sizeof *s);
        assert_true(count * i / n + body <= (i + 1 < n ? count * (i + 1) / n : count));
    }
    el_calibration_free(&c);
}

static void test_a_file_is_cut_evenly(void **state)
{
    static const uint32_t lengths[] = {2, 3, 10, 100, 199, 200};
    const fixture *f = *state;
    put_letters(200);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (uint32_t asked = 1; asked < 9; asked++) {
            check_pieces(f->engines[0], asked, lengths[i], false);
            check_pieces(f->engines[1], asked, lengths[i], true);
        }
    }
}

static void test_a_short_file_gives_fewer_sequences(void **state)
{
    const fixture *f = *state;
    put_letters(100);
    assert_int_equal(file_tokens(f->engines[0], NULL, 0), 100);
    el_calibration c = cut_file(f->engines[0], 32, 30);
    assert_int_equal(c.sequences, 3);
    el_calibration_free(&c);
    c = cut_file(f->engines[0], 32, 100);
    assert_int_equal(c.sequences, 1);
    el_calibration_free(&c);
    c = cut_file(f->engines[1], 32, 101); /* one of them is not the file's */
    assert_int_equal(c.sequences, 1);
    el_calibration_free(&c);
}

static void check_refusal(const fixture *f, const char *path, int kind, edgellm_status wanted,
                          const char *const says[2])
{
    const el_calibrate_options o = {.sequences = 4, .length = 101};
    el_calibration c = {.sequences = 77};
    edgellm_error err = {0};
    assert_int_equal(el_calibrate_file(f->engines[kind], path, &o, &c, &err), wanted);
    assert_contains(err.message, path);
    assert_contains(err.message, says[0]);
    assert_contains(err.message, says[1]);
    assert_int_equal(c.sequences, 77);
}

static void test_files_that_will_not_do_are_refused(void **state)
{
    const fixture *f = *state;
    put_letters(99);
    check_refusal(f, TEXT, 0, EDGELLM_ERR_USAGE,
                  (const char *const[]){"has 99 tokens", "at least 101"});
    check_refusal(f, TEXT, 1, EDGELLM_ERR_USAGE,
                  (const char *const[]){"has 99 tokens", "at least 100"});
    put_file(TEXT, "");
    check_refusal(f, TEXT, 0, EDGELLM_ERR_FORMAT, (const char *const[]){"is empty", ""});
    check_refusal(f, EL_TEST_OUT "/nowhere.txt", 0, EDGELLM_ERR_IO,
                  (const char *const[]){"No such file", ""});
    check_refusal(f, EL_TEST_OUT, 0, EDGELLM_ERR_IO, (const char *const[]){"is a directory", ""});
}

/* Every character is text: the name of a token in a file does not become it. */
static void test_a_file_is_plain_text(void **state)
{
    const fixture *f = *state;
    put_file(TEXT, "<|im_end|><|im_end|><|im_end|>");
    el_calibration c = cut_file(f->engines[0], 1, 12);
    for (uint32_t i = 0; i < c.length; i++)
        assert_false(edgellm_is_end(f->engines[0], c.tokens[i]));
    el_calibration_free(&c);
}

static void test_freeing_twice_is_allowed(void **state)
{
    const fixture *f = *state;
    put_letters(20);
    el_calibration c = cut_file(f->engines[0], 1, 12);
    el_calibration_free(&c);
    assert_null(c.tokens);
    el_calibration_free(&c);
}

/* ---- set-up -------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    static fixture f;
    if (tiny_files_make(state) != 0) return -1;
    f.engines[0] = tiny_file_open(TINY_KEPT);
    f.engines[1] = tiny_file_open(TINY_ROW_8);
    for (int kind = 0; kind < 2; kind++)
        f.written[kind] = write_self(f.engines[kind], &plain);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    for (int kind = 0; kind < 2; kind++) {
        el_calibration_free(&f->written[kind]);
        edgellm_engine_close(f->engines[kind]);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_a_sequence_depends_on_its_number_only),
        cmocka_unit_test(test_another_seed_gives_other_texts),
        cmocka_unit_test(test_sequences_differ),
        cmocka_unit_test(test_every_length_is_filled),
        cmocka_unit_test(test_sequences_begin_as_the_engine_begins),
        cmocka_unit_test(test_every_opening_is_used),
        cmocka_unit_test(test_some_lines_end_in_two_bytes),
        cmocka_unit_test(test_conversations_have_a_system_message_or_none),
        cmocka_unit_test(test_a_model_without_a_template_writes_no_conversations),
        cmocka_unit_test(test_an_end_is_followed_by_another_text),
        cmocka_unit_test(test_no_text_goes_in_circles),
        cmocka_unit_test(test_some_texts_have_an_odd_word),
        cmocka_unit_test(test_progress_is_told),
        cmocka_unit_test(test_it_can_be_interrupted_at_any_time),
        cmocka_unit_test(test_options_out_of_range_are_refused),
        cmocka_unit_test(test_a_file_is_cut_evenly),
        cmocka_unit_test(test_a_short_file_gives_fewer_sequences),
        cmocka_unit_test(test_files_that_will_not_do_are_refused),
        cmocka_unit_test(test_a_file_is_plain_text),
        cmocka_unit_test(test_freeing_twice_is_allowed),
    };
    return cmocka_run_group_tests_name("calibrate", tests, set_up, tear_down);
}
