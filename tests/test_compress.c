/*
 * test_compress.c: el_compress() from its text to its file on tiny models, its journal, and what it
 * refuses.
 */
#include "support/test_help.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "format/ggml_types.h"
#include "quant/quantize.h"
#include "support/float_model.h"
#include "support/tiny_model.h"
#include "train/compress.h"
#include "train/journal.h"

#define SOURCE  EL_TEST_OUT "/compress.gguf"
#define TARGET  EL_TEST_OUT "/compress.tm2.bin"
#define TEXT    EL_TEST_OUT "/compress.text"
#define PLAIN   EL_TEST_OUT "/compress_plain.tm2.bin"
#define JOURNAL TARGET ".unfinished-edgellm"

static el_compress_options small_options(void)
{
    return (el_compress_options){.fit = 40000,
                                 .bits = 2,
                                 .group = 64,
                                 .embedding_group = 64,
                                 .sequences = 6,
                                 .length = 24,
                                 .epochs = 1,
                                 .steps = 4,
                                 .seed = 3,
                                 .threads = 1,
                                 .force = true};
}

static void make_source(bool separate_head)
{
    el_tiny_spec spec = el_tiny_defaults();
    spec.separate_head = separate_head;
    assert_true(el_tiny_write(&spec, SOURCE));
    unlink(TARGET);
    unlink(JOURNAL);
}

static uint64_t file_hash(const char *path)
{
    el_bytes b = {0};
    assert_true(el_bytes_load(&b, path));
    uint64_t hash = hash_bytes(14695981039346656037ULL, b.data, b.size);
    free(b.data);
    return hash;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static el_compress_result compress(const el_compress_options *o)
{
    edgellm_error err;
    el_compress_result result;
    assert_ok(el_compress(SOURCE, TARGET, o, &result, &err));
    assert_false(exists(JOURNAL));
    return result;
}

/* ---- the file ---------------------------------------------------------------------------- */

static void test_keeps_within_the_size(void **state)
{
    el_compress_options o = small_options();
    (void)state;
    make_source(false);
    for (o.fit = 37000; o.fit <= 59000; o.fit += 11000) {
        el_compress_result r = compress(&o);
        assert_in_range(r.file_bytes, o.fit / 2, o.fit);
        assert_true(r.quality.tokens == 4 * 11 && r.quality.kl > 0);
    }
}

/* Biases and norms of heads count too, and come with it as they are. */
static void test_other_architectures_keep_within_the_size(void **state)
{
    static const struct {
        const char *architecture, *tensor;
        uint32_t cols;
        el_tiny_scaling scaling;
    } rows[] = {{"qwen2", "blk.1.attn_k.bias", 32, 0},
                {"qwen3", "blk.0.attn_q_norm.weight", 16, 0},
                {"gemma2", "blk.1.post_ffw_norm.weight", 64, 0},
                {"bitnet", "blk.0.ffn_sub_norm.weight", 96, 0},
                {"llama", "rope_freqs.weight", 8, EL_TINY_FACTORS},
                {"phi3", "rope_factors_long.weight", 8, EL_TINY_LONGROPE}};
    const el_compress_options o = small_options();
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        el_tiny_spec spec = el_tiny_defaults();
        edgellm_error err;
        el_tm2 file;
        el_tensor t;
        spec.architecture = rows[i].architecture;
        spec.scaling = rows[i].scaling;
        assert_true(el_tiny_write(&spec, SOURCE));
        el_compress_result r = compress(&o);
        assert_in_range(r.file_bytes, o.fit / 2, o.fit);
        assert_ok(el_tm2_open(&file, TARGET, true, &err));
        assert_string_equal(file.config.architecture, rows[i].architecture);
        assert_true(el_tm2_find(&file, rows[i].tensor, &t));
        assert_true(t.cols == rows[i].cols && t.codec == EL_CODEC_F32);
        el_tm2_close(&file);
    }
}

/* Rows of the parts of the embedding in the file, 0 for those it has not. */
static void parts_of(uint32_t rows[EL_TABLE_PARTS])
{
    edgellm_error err;
    el_tm2 file;
    assert_ok(el_tm2_open(&file, TARGET, true, &err));
    for (int i = 0; i < EL_TABLE_PARTS; i++) {
        char name[EL_TENSOR_NAME_BYTES];
        el_tensor t;
        snprintf(name, sizeof name, "token_embd%s", el_table_endings[i]);
        rows[i] = el_tm2_find(&file, name, &t) ? t.rows : 0;
    }
    el_tm2_close(&file);
}

/* Under a budget frequent tokens can have more bits than others. */
static void test_a_table_is_cut_under_a_budget(void **state)
{
    static const struct {
        uint64_t fit;
        uint32_t rows[EL_TABLE_PARTS];
    } sizes[] = {{0, {EL_TINY_VOCAB}}, {40000, {16, 96 - 16, EL_TINY_VOCAB - 96}}};
    el_compress_options o = small_options();
    (void)state;
    make_source(false);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t rows[EL_TABLE_PARTS];
        o.fit = sizes[i].fit;
        compress(&o);
        parts_of(rows);
        assert_memory_equal(rows, sizes[i].rows, sizeof rows);
    }
}

static void test_more_bytes_more_like_the_source(void **state)
{
    el_compress_options o = small_options();
    (void)state;
    make_source(false);
    o.fit = 0;
    double before = 1e9;
    for (o.bits = 2; o.bits <= 8; o.bits = o.bits < 4 ? o.bits + 1 : 2 * o.bits) {
        el_compress_result r = compress(&o);
        assert_true(r.quality.kl < before);
        before = r.quality.kl;
    }
    assert_true(before < 0.01);
}

/* Digits, each of which is a token: other inputs than a model with random weights would write, in
 * which rounding can make up for errors. */
static void put_digits(char *text, size_t n, uint64_t seed)
{
    el_random r = {seed};
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('0' + el_random_below(&r, 10));
    text[n] = '\0';
}

enum { LENGTH = 32, SEQUENCES = 8 };

static void read_digits(const char *path, uint32_t tokens[SEQUENCES * LENGTH])
{
    char text[SEQUENCES * LENGTH + 1];
    edgellm_error err;
    edgellm_engine *engine;
    size_t count;
    put_digits(text, SEQUENCES * LENGTH, 7);
    assert_ok(edgellm_engine_open(path, NULL, &engine, &err));
    assert_ok(
        edgellm_tokenize(engine, text, sizeof text - 1, 0, tokens, sizeof text - 1, &count, &err));
    assert_int_equal(count, sizeof text - 1);
    edgellm_engine_close(engine);
}

/* KL of a file from the source, on other digits; as it runs. */
static double kl_of(const char *path)
{
    edgellm_error err;
    el_source source;
    float_model m;
    el_quality quality = {0};
    uint32_t tokens[SEQUENCES * LENGTH];
    read_digits(path, tokens);
    assert_ok(el_source_open(&source, SOURCE, &err));
    assert_ok(float_model_open(&m, &source, LENGTH, &err));
    const size_t row = (size_t)LENGTH * source.config.dim;
    float *hidden = calloc(SEQUENCES * row, sizeof *hidden);
    assert_non_null(hidden);
    for (uint32_t i = 0; i < SEQUENCES; i++)
        assert_ok(
            float_model_hidden(&m, tokens + (size_t)i * LENGTH, hidden + (size_t)i * row, &err));
    const el_quality_text text = {tokens, hidden, SEQUENCES, LENGTH};
    assert_ok(el_quality_measure(path, &source, &text, &quality, &err));
    free(hidden);
    float_model_close(&m);
    el_source_close(&source);
    return quality.kl;
}

/* Of every architecture that can be calibrated: nearer to the source than what is rounded by
 * itself, at the same bits, scales and groups. */
static void test_calibrated_is_nearer_than_rounded(void **state)
{
    static const char *const architectures[] = {
        "llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "smollm3", "bitnet", "bitnet-b1.58"};
    static char text[64 * LENGTH + 1];
    (void)state;
    put_digits(text, sizeof text - 1, 1);
    put_file(TEXT, text);
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
        el_tiny_spec spec = el_tiny_defaults();
        el_compress_options o = small_options();
        edgellm_error err;
        el_quantize_result rounded;
        const el_quantize_options plain = {
            .bits = 3, .group = 64, .embedding_group = 64, .scales = EL_SCALE_BYTE};
        spec.architecture = architectures[i];
        spec.ffn_dim = 128;           /* so that all widths can be rotated */
        spec.layers = i == 6 ? 4 : 2; /* SmolLM3's fourth is of another kind */
        assert_true(el_tiny_write(&spec, SOURCE));
        o.fit = 0;
        o.bits = 3;
        o.calibration = TEXT;
        o.length = LENGTH;
        o.sequences = 40;
        o.steps = 60;
        compress(&o);
        assert_ok(el_quantize(SOURCE, PLAIN, &plain, &rounded, &err));
        const double calibrated = kl_of(TARGET), by_itself = kl_of(PLAIN);
        printf("%s: calibrated %.4f, rounded %.4f nats a token\n", spec.architecture, calibrated,
               by_itself);
        assert_true(calibrated > 0 && calibrated < by_itself);
    }
}

/* Codecs of the matrices of the file, as a set of bits. */
static unsigned codecs_of(const char *path)
{
    edgellm_error err;
    el_tm2 file;
    unsigned set = 0;
    assert_ok(el_tm2_open(&file, path, true, &err));
    for (uint32_t i = 0; i < file.n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(&file, i, &t);
        if (t.codec != EL_CODEC_F32) set |= 1u << t.codec;
    }
    el_tm2_close(&file);
    return set;
}

/* Rotated, 2 and 3 bits have chained codes, unless they have offsets or shall not. */
static void test_chained_codes(void **state)
{
    static const struct {
        unsigned bits;
        bool even, offset;
        el_codec codec;
    } rows[] = {{2, false, false, EL_CODEC_C2}, {3, false, false, EL_CODEC_C3},
                {2, true, false, EL_CODEC_S2},  {3, true, false, EL_CODEC_S3},
                {2, false, true, EL_CODEC_O2},  {4, false, false, EL_CODEC_S4}};
    double kl[sizeof rows / sizeof *rows];
    el_tiny_spec spec = el_tiny_defaults();
    el_compress_options o = small_options();
    (void)state;
    spec.ffn_dim = 128; /* so that all widths can be rotated */
    assert_true(el_tiny_write(&spec, SOURCE));
    o.sequences = 20;
    o.steps = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        o.fit = 0;
        o.bits = rows[i].bits;
        o.even = rows[i].even;
        o.offset = rows[i].offset;
        kl[i] = compress(&o).quality.kl;
        assert_int_equal(codecs_of(TARGET), 1u << rows[i].codec);
    }
    assert_true(kl[0] < kl[2]);
    assert_true(kl[1] < kl[3]);
    o.offset = false;
    for (int even = 0; even < 2; even++) {
        o.fit = 60000;
        o.even = even;
        compress(&o);
        assert_int_equal((codecs_of(TARGET) & (1u << EL_CODEC_C2 | 1u << EL_CODEC_C3)) == 0, even);
    }
}

static void test_same_file_for_any_number_of_threads(void **state)
{
    el_compress_options o = small_options();
    (void)state;
    for (int head = 0; head < 2; head++) {
        make_source(head);
        o.fit = head ? 55000 : 40000;
        uint64_t first = 0;
        for (o.threads = 1; o.threads <= 3; o.threads++) {
            compress(&o);
            if (o.threads == 1) first = file_hash(TARGET);
            assert_true(file_hash(TARGET) == first);
        }
    }
}

static void test_another_seed_another_file(void **state)
{
    el_compress_options o = small_options();
    (void)state;
    make_source(false);
    compress(&o);
    uint64_t first = file_hash(TARGET);
    o.seed++;
    compress(&o);
    assert_true(file_hash(TARGET) != first);
}

/* ---- going on ---------------------------------------------------------------------------- */

/* Stops when it is asked for the n-th time. */
static bool stop(void *context, const char *stage, double done)
{
    uint32_t *left = context;
    assert_non_null(stage);
    assert_true(done >= 0 && done <= 1.0001);
    return *left > 0 && --*left > 0;
}

static void test_stopped_anywhere_it_goes_on(void **state)
{
    el_compress_options o = small_options();
    edgellm_error err;
    (void)state;
    make_source(false);
    compress(&o);
    uint64_t whole = file_hash(TARGET);
    unlink(TARGET);
    bool stopped = true;
    for (uint32_t n = 1; stopped; n += 3) {
        uint32_t left = n;
        o.progress = stop;
        o.progress_context = &left;
        o.resume = false;
        edgellm_status status = el_compress(SOURCE, TARGET, &o, NULL, &err);
        stopped = status == EDGELLM_ERR_INTERRUPTED;
        if (stopped) {
            assert_contains(err.message, "--resume");
            assert_false(exists(TARGET));
            o.progress = NULL;
            o.resume = true;
            compress(&o);
        }
        assert_true(file_hash(TARGET) == whole);
        unlink(TARGET);
    }
}

typedef struct watch {
    unsigned first, stop_at; /* steps of the training, from 1 */
} watch;

static bool watch_steps(void *context, const char *stage, double done)
{
    watch *w = context;
    unsigned step;
    (void)done;
    if (sscanf(stage, "step %u of", &step) != 1) return true;
    if (w->first == 0) w->first = step;
    return step != w->stop_at;
}

/* Stopped after any step, training goes on to the same chained codes. */
static void test_chained_codes_go_on(void **state)
{
    edgellm_error err;
    el_tiny_spec spec = el_tiny_defaults();
    el_compress_options o = small_options();
    (void)state;
    spec.ffn_dim = 128;
    assert_true(el_tiny_write(&spec, SOURCE));
    o.fit = 0;
    compress(&o);
    const uint64_t whole = file_hash(TARGET);
    for (unsigned step = 1; step <= o.steps; step++) {
        watch w = {.stop_at = step};
        o.resume = false;
        o.progress = watch_steps;
        o.progress_context = &w;
        assert_int_equal(el_compress(SOURCE, TARGET, &o, NULL, &err), EDGELLM_ERR_INTERRUPTED);
        o.resume = true;
        o.progress = NULL;
        compress(&o);
        assert_true(file_hash(TARGET) == whole);
    }
}

/* Steps that are done are not done again; with states kept at the end alone, or after each step. */
static void test_training_goes_on_where_it_was(void **state)
{
    el_compress_options o = small_options();
    edgellm_error err;
    el_compress_result result;
    (void)state;
    make_source(false);
    const el_compress_result whole = compress(&o);
    const uint64_t hash = file_hash(TARGET);
    for (int i = 0; i < 2; i++) {
        watch stopped = {.stop_at = 3}, resumed = {0};
        unlink(TARGET);
        o.keep = i ? 1e-9 : 0;
        o.progress = watch_steps;
        o.progress_context = &stopped;
        o.resume = false;
        assert_int_equal(el_compress(SOURCE, TARGET, &o, NULL, &err), EDGELLM_ERR_INTERRUPTED);
        o.progress_context = &resumed;
        o.resume = true;
        assert_ok(el_compress(SOURCE, TARGET, &o, &result, &err));
        assert_int_equal(resumed.first, 3);
        assert_true(file_hash(TARGET) == hash);
        assert_true(result.kl_first == whole.kl_first && result.kl_last == whole.kl_last);
    }
}

static void test_an_unfinished_run_is_not_lost(void **state)
{
    el_compress_options o = small_options();
    edgellm_error err;
    uint32_t left = 20;
    (void)state;
    make_source(false);
    o.progress = stop;
    o.progress_context = &left;
    assert_int_equal(el_compress(SOURCE, TARGET, &o, NULL, &err), EDGELLM_ERR_INTERRUPTED);
    o.progress = NULL;
    assert_int_equal(el_compress(SOURCE, TARGET, &o, NULL, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "--resume");
    o.resume = true;
    o.seed++;
    assert_int_equal(el_compress(SOURCE, TARGET, &o, NULL, &err), EDGELLM_ERR_USAGE);
    assert_contains(err.message, "other options");
    o.seed--;
    compress(&o);
}

/* ---- the journal ------------------------------------------------------------------------- */

static void write_journal(void)
{
    el_journal j;
    edgellm_error err;
    unlink(JOURNAL);
    assert_ok(el_journal_open(&j, TARGET, 7, false, &err));
    assert_ok(el_journal_add(&j, 1, "first", 5, &err));
    assert_ok(el_journal_add(&j, 2, "second", 6, &err));
    el_journal_close(&j, false);
}

/* How many of the two records a journal of `size` bytes, one of them changed, still gives. */
static int records_left(size_t size, size_t changed)
{
    el_bytes b = {0};
    el_journal j;
    edgellm_error err;
    char data[8];
    write_journal();
    assert_true(el_bytes_load(&b, JOURNAL));
    if (changed < b.size) b.data[changed] ^= 1;
    b.size = size < b.size ? size : b.size;
    assert_true(el_bytes_save(&b, JOURNAL));
    free(b.data);
    if (el_journal_open(&j, TARGET, 7, true, &err) != EDGELLM_OK) return -1;
    int n = el_journal_take(&j, 1, data, 5);
    if (n) n += el_journal_take(&j, 2, data, 6);
    assert_ok(el_journal_add(&j, 3, "third", 5, &err));
    el_journal_close(&j, true);
    assert_false(exists(JOURNAL));
    return n;
}

static void test_a_journal_cut_short_or_damaged(void **state)
{
    enum { HEADER = 16, RECORD = 16, FIRST = HEADER + RECORD + 5, ALL = FIRST + RECORD + 6 };
    (void)state;
    for (size_t size = 1; size <= ALL; size++) {
        int want = (size >= FIRST) + (size >= ALL); /* of a header that is cut: none */
        assert_int_equal(records_left(size, ALL), want);
    }
    for (size_t at = 0; at < ALL; at++) {
        int want = at < HEADER ? -1 : at >= FIRST;
        assert_int_equal(records_left(ALL, at), want);
    }
}

enum { STATE = 24, STATE_BYTES = 3 + 4 };

/* A journal with one record and the states "aaaaaaa" of number 1, "bbbbbbb" of number 2 and so on.
 */
static void write_states(uint32_t count)
{
    el_journal j;
    edgellm_error err;
    unlink(JOURNAL);
    assert_ok(el_journal_open(&j, TARGET, 7, false, &err));
    assert_ok(el_journal_add(&j, 1, "first", 5, &err));
    for (uint32_t i = 0; i < count; i++) {
        char data[STATE_BYTES];
        memset(data, (char)('a' + i), sizeof data);
        const el_span spans[] = {{data, 3}, {data + 3, 4}};
        assert_ok(el_journal_keep(&j, spans, 2, &err));
    }
    el_journal_close(&j, false);
}

/* The letter of the state that a journal still gives, of which one byte is changed (size - 1 is its
 * last) or which is cut; '-' if there is none. */
static char state_left(uint32_t count, size_t size, size_t changed)
{
    el_bytes b = {0};
    el_journal j;
    edgellm_error err;
    char data[STATE_BYTES] = "-------", first[5];
    const el_span spans[] = {{data, 3}, {data + 3, 4}};
    write_states(count);
    assert_true(el_bytes_load(&b, JOURNAL));
    if (changed < b.size) b.data[changed] ^= 1;
    b.size = size < b.size ? size : b.size;
    assert_true(el_bytes_save(&b, JOURNAL));
    free(b.data);
    assert_ok(el_journal_open(&j, TARGET, 7, true, &err));
    assert_true(el_journal_take(&j, 1, first, sizeof first));
    assert_ok(el_journal_kept(&j, spans, 2, &err));
    assert_int_equal(data[0], data[STATE_BYTES - 1]);
    el_journal_close(&j, true);
    return data[0];
}

static void test_of_two_states_one_is_whole(void **state)
{
    enum { RECORDS = 16 + 16 + 5, EVEN = RECORDS, ODD = RECORDS + STATE + STATE_BYTES };
    const size_t all = ODD + STATE + STATE_BYTES, one = STATE + STATE_BYTES;
    (void)state;
    assert_int_equal(state_left(0, all, all), '-');
    for (uint32_t count = 1; count <= 5; count++)
        assert_int_equal(state_left(count, all, all), 'a' + (int)count - 1);
    for (size_t i = 0; i < one; i++) { /* number 3 is damaged, or half written; number 2 is not */
        const char left = i >= 12 && i < 16 ? 'c' : 'b'; /* four bytes say nothing */
        assert_int_equal(state_left(3, all, ODD + i), left);
        assert_int_equal(state_left(3, ODD + i, all), 'b');
        assert_int_equal(state_left(3, all, EVEN + i), 'c');
        assert_int_equal(state_left(1, ODD + i, all), '-');
    }
}

/* A state that goes on from one that was found takes the place of the other. */
static void test_states_go_on(void **state)
{
    char data[] = "ddd", first[5];
    const el_span span = {data, 3};
    el_journal j;
    edgellm_error err;
    (void)state;
    unlink(JOURNAL);
    assert_ok(el_journal_open(&j, TARGET, 7, false, &err));
    assert_ok(el_journal_add(&j, 1, "first", 5, &err));
    for (int c = 'a'; c <= 'f'; c++) {
        memset(data, c, 3);
        assert_ok(el_journal_keep(&j, &span, 1, &err));
        el_journal_close(&j, false);
        memset(data, '-', 3);
        assert_ok(el_journal_open(&j, TARGET, 7, true, &err));
        assert_true(el_journal_take(&j, 1, first, sizeof first));
        assert_ok(el_journal_kept(&j, &span, 1, &err));
        assert_int_equal(data[0], c);
    }
    el_journal_close(&j, true);
}

/* ---- refusals ---------------------------------------------------------------------------- */

static void refused(const el_compress_options *o, edgellm_status status, const char *part)
{
    edgellm_error err;
    assert_int_equal(el_compress(SOURCE, TARGET, o, NULL, &err), status);
    assert_contains(err.message, part);
    assert_false(exists(TARGET));
    unlink(JOURNAL);
}

static void test_rules(void **state)
{
    el_compress_options o = small_options();
    el_compress_rule rule = {"ffn_dwon", 4};
    (void)state;
    make_source(false);
    o.rules = &rule;
    o.n_rules = 1;
    refused(&o, EDGELLM_ERR_USAGE, "'ffn_dwon' matches no matrix");
    rule.pattern = "(";
    refused(&o, EDGELLM_ERR_USAGE, "pattern '('");
    rule = (el_compress_rule){"ffn_down", 5};
    refused(&o, EDGELLM_ERR_USAGE, "bits must be 2, 3, 4 or 8");
    rule.bits = 8;
    o.fit = 60000;
    compress(&o);
}

static void test_sizes_that_cannot_be(void **state)
{
    el_compress_options o = small_options();
    (void)state;
    make_source(false);
    o.fit = 1000;
    refused(&o, EDGELLM_ERR_USAGE, "MB");
    o.fit = 0;
    o.bits = 7;
    refused(&o, EDGELLM_ERR_USAGE, "bits");
}

static void test_texts_that_are_too_short(void **state)
{
    el_compress_options o = small_options();
    (void)state;
    make_source(false);
    o.calibration = EL_TEST_OUT "/compress.txt";
    put_file(o.calibration, "");
    refused(&o, EDGELLM_ERR_FORMAT, "empty");
    put_file(o.calibration, "a few words");
    refused(&o, EDGELLM_ERR_USAGE, "compress.txt");
    put_file(o.calibration, "somewhat more of them, but not as many as calibration takes: it needs "
                            "five pieces of 24 tokens each");
    refused(&o, EDGELLM_ERR_USAGE, "too short");
}

static void test_a_ruined_file_is_refused(void **state)
{
    el_compress_options o = small_options();
    (void)state;
    make_source(false);
    put_file(TARGET, "what was there");
    uint64_t before = file_hash(TARGET);
    edgellm_error err;
    o.max_kl = 1e-3;
    o.force = false;
    assert_int_equal(el_compress(SOURCE, TARGET, &o, NULL, &err), EDGELLM_ERR_UNSUPPORTED);
    assert_contains(err.message, "--force");
    assert_contains(err.message, " MB would do");
    assert_true(file_hash(TARGET) == before);
    o.force = o.resume = true;
    assert_true(compress(&o).quality.kl > o.max_kl);
    assert_true(file_hash(TARGET) != before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_within_the_size),
        cmocka_unit_test(test_other_architectures_keep_within_the_size),
        cmocka_unit_test(test_a_table_is_cut_under_a_budget),
        cmocka_unit_test(test_more_bytes_more_like_the_source),
        cmocka_unit_test(test_calibrated_is_nearer_than_rounded),
        cmocka_unit_test(test_chained_codes),
        cmocka_unit_test(test_same_file_for_any_number_of_threads),
        cmocka_unit_test(test_another_seed_another_file),
        cmocka_unit_test(test_stopped_anywhere_it_goes_on),
        cmocka_unit_test(test_training_goes_on_where_it_was),
        cmocka_unit_test(test_chained_codes_go_on),
        cmocka_unit_test(test_an_unfinished_run_is_not_lost),
        cmocka_unit_test(test_a_journal_cut_short_or_damaged),
        cmocka_unit_test(test_of_two_states_one_is_whole),
        cmocka_unit_test(test_states_go_on),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_sizes_that_cannot_be),
        cmocka_unit_test(test_texts_that_are_too_short),
        cmocka_unit_test(test_a_ruined_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
