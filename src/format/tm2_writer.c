/*
 * tm2_writer.c: writes sections in the order of the file. Header and table are left empty at
 * first and filled in last, so a file that was cut off can't be taken for a whole one; and
 * outfile.h lets nothing appear under the name before the end.
 */
#include <stdlib.h>

#include "base/crc32.h"
#include "format/checks.h"
#include "format/tm2_layout.h"
#include "format/vocab_pack.h"

struct el_tm2_writer {
    el_outfile out;
    uint8_t head[EL_TM2_FIRST]; /* header and section table, patched in at the end */
    uint8_t *entries;           /* (max_tensors) directory entries, in the order of el_tm2_put */
    uint32_t n_tensors, max_tensors;
    uint64_t section_start;
    uint32_t section_crc;
    uint32_t version; /* the oldest that has all there is */
    bool failed;      /* a tensor was refused: the file would lack it */
};

/* ---- sections -------------------------------------------------------------------------- */

static void begin_section(el_tm2_writer *w)
{
    el_outfile_align(&w->out, EL_TM2_ALIGN);
    w->section_start = w->out.written;
    w->section_crc = 0;
}

static void emit(el_tm2_writer *w, const void *bytes, uint64_t size)
{
    if (size == 0) return;
    w->section_crc = el_crc32(w->section_crc, bytes, (size_t)size);
    el_outfile_write(&w->out, bytes, (size_t)size);
}

static void end_section(el_tm2_writer *w, int index)
{
    uint8_t *entry = w->head + EL_TM2_HEADER_BYTES + (size_t)index * EL_TM2_ENTRY_BYTES;
    el_store32(entry + EL_TM2_AT_TYPE, (uint32_t)index + 1);
    el_store32(entry + EL_TM2_AT_CRC, w->section_crc);
    el_store64(entry + EL_TM2_AT_OFFSET, w->section_start);
    el_store64(entry + EL_TM2_AT_SIZE, w->out.written - w->section_start);
    memcpy(entry + EL_TM2_AT_NAME, el_tm2_section_names[index], EL_TM2_SECTION_NAME_BYTES);
}

static bool has_number(const el_config *c, int from, int to)
{
    static const uint8_t none[4];
    for (int i = from; i < to; i++)
        if (memcmp((const char *)c + el_tm2_numbers[i], none, sizeof none) != 0) return true;
    return false;
}

/* A file that needs nothing of a version can be read by programs that know the one before. */
static uint32_t version_for(const el_config *c, const el_vocab *v)
{
    if (has_number(c, EL_TM2_NUMBERS_5, EL_TM2_NUMBERS)) return 6;
    if (el_vocab_is_scored(v) || has_number(c, EL_TM2_NUMBERS_4, EL_TM2_NUMBERS_5)) return 5;
    return EL_TM2_USUAL;
}

static void write_model(el_tm2_writer *w, const el_config *c)
{
    uint8_t model[EL_TM2_MODEL_BYTES] = {0};
    memcpy(model + EL_TM2_AT_ARCHITECTURE, c->architecture, sizeof c->architecture);
    memcpy(model + EL_TM2_AT_MODEL_NAME, c->name, sizeof c->name);
    const int numbers = w->version < 5   ? EL_TM2_NUMBERS_4
                        : w->version < 6 ? EL_TM2_NUMBERS_5
                                         : EL_TM2_NUMBERS;
    for (int i = 0; i < numbers; i++) {
        memcpy(model + EL_TM2_AT_NUMBERS + (size_t)i * 4, (const char *)c + el_tm2_numbers[i], 4);
    }
    begin_section(w);
    emit(w, model, el_tm2_model_bytes(numbers));
    end_section(w, EL_TM2_MODEL);
}

static edgellm_status write_vocab(el_tm2_writer *w, const el_vocab *v, edgellm_error *err)
{
    uint8_t head[EL_TM2_VOCAB_HEAD_BYTES] = {0};
    const uint64_t packed_bytes = el_vocab_pack(v, NULL);
    uint8_t *packed = malloc((size_t)packed_bytes);
    if (!packed)
        return el_fail(err, EDGELLM_ERR_MEMORY, "no memory to pack %u tokens", v->n_tokens);
    el_vocab_pack(v, packed);
    el_store32(head + EL_TM2_AT_TOKENS, v->n_tokens);
    el_store32(head + EL_TM2_AT_MERGES, v->n_merges);
    el_store32(head + EL_TM2_AT_TOKEN_BYTES, v->starts[v->n_tokens]);
    el_store32(head + EL_TM2_AT_SPECIAL, v->bos);
    el_store32(head + EL_TM2_AT_SPECIAL + 4, v->eos);
    el_store32(head + EL_TM2_AT_SPECIAL + 8, v->unk);
    el_store32(head + EL_TM2_AT_SPECIAL + 12, v->pad);
    head[EL_TM2_AT_ADD_BOS] = v->add_bos;
    head[EL_TM2_AT_SPACE_FIRST] = v->space_first;
    head[EL_TM2_AT_NFC] = v->nfc;
    el_store32(head + EL_TM2_AT_FLAGGED, el_vocab_flagged(v));
    memcpy(head + EL_TM2_AT_PRETOKENIZER, v->pretokenizer, strlen(v->pretokenizer));
    begin_section(w);
    emit(w, head, sizeof head);
    emit(w, packed, packed_bytes);
    end_section(w, EL_TM2_VOCAB);
    free(packed);
    return EDGELLM_OK;
}

static void write_text(el_tm2_writer *w, const char *text, int index)
{
    begin_section(w);
    emit(w, text, strlen(text) + 1);
    end_section(w, index);
}

/* ---- create ---------------------------------------------------------------------------- */

/* The same rules as the reader's: what this accepts can be opened. */
static edgellm_status check_input(const el_config *config, const el_vocab *v, uint32_t max_tensors,
                                  edgellm_error *err)
{
    EL_TRY(el_config_check(config, "config", err));
    EL_TRY(el_vocab_check(v, v->starts[v->n_tokens], "vocab", err));
    if (v->n_tokens != config->vocab) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "vocab: %u tokens, but config says %u", v->n_tokens,
                       config->vocab);
    }
    if (el_vocab_is_scored(v) != (v->ranks != NULL)) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "vocab: pre-tokenizer '%.32s' %s ranks",
                       v->pretokenizer, v->ranks ? "has no" : "needs");
    }
    size_t len = strlen(v->pretokenizer);
    if (len == 0 || len >= EL_TM2_PRETOKENIZER_BYTES || !el_text_is_valid(v->pretokenizer, len)) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "vocab: pre-tokenizer '%.32s' is no valid name",
                       v->pretokenizer);
    }
    if (!el_text_is_valid(v->chat_template, strlen(v->chat_template))) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "vocab: the chat template is not UTF-8");
    }
    if (max_tensors > EL_MAX_TENSORS) {
        return el_fail(err, EDGELLM_ERR_USAGE, "%u tensors are more than %u", max_tensors,
                       EL_MAX_TENSORS);
    }
    return EDGELLM_OK;
}

edgellm_status el_tm2_create(el_tm2_writer **writer, const char *path, const el_config *config,
                             const el_vocab *vocab, uint32_t max_tensors, edgellm_error *err)
{
    EL_TRY(check_input(config, vocab, max_tensors, err));
    el_tm2_writer *w = calloc(1, sizeof *w);
    uint8_t *entries = calloc(max_tensors + (size_t)1, EL_TM2_TENSOR_BYTES);
    edgellm_status status =
        w && entries ? el_outfile_create(&w->out, path, err)
                     : el_fail(err, EDGELLM_ERR_MEMORY,
                               "out of memory for a directory of %u tensors", max_tensors);
    if (status != EDGELLM_OK) {
        free(entries);
        free(w);
        return status;
    }
    w->entries = entries;
    w->max_tensors = max_tensors;
    w->version = version_for(config, vocab);
    el_outfile_write(&w->out, w->head, sizeof w->head);
    write_model(w, config);
    status = write_vocab(w, vocab, err);
    write_text(w, vocab->chat_template, EL_TM2_TEMPLATE);
    begin_section(w); /* the weights, as they come */
    if (status == EDGELLM_OK) status = el_outfile_check(&w->out, err);
    if (status != EDGELLM_OK) {
        el_tm2_cancel(w);
        return status;
    }
    *writer = w;
    return EDGELLM_OK;
}

/* ---- put ------------------------------------------------------------------------------- */

static edgellm_status check_tensor(const el_tm2_writer *w, const el_tensor *t, edgellm_error *err)
{
    EL_TRY(el_tensor_check_shape(t, err));
    if (w->n_tensors == w->max_tensors) {
        return el_fail(err, EDGELLM_ERR_USAGE, "tensor '%s' is one more than the %u announced",
                       t->name, w->max_tensors);
    }
    for (uint32_t i = 0; i < w->n_tensors; i++) {
        const uint8_t *entry = w->entries + (size_t)i * EL_TM2_TENSOR_BYTES;
        if (strcmp((const char *)entry, t->name) == 0) {
            return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s' was written before", t->name);
        }
    }
    if ((uintptr_t)t->data % sizeof(float)) {
        return el_fail(err, EDGELLM_ERR_USAGE, "tensor '%s': data is not aligned", t->name);
    }
    EL_TRY(el_tensor_check_floats(t, err));
    return el_tensor_check_codes(t, err);
}

static void fill_entry(uint8_t *entry, const el_tensor *t, uint64_t offset)
{
    memcpy(entry + EL_TM2_AT_TENSOR_NAME, t->name, strlen(t->name));
    el_store32(entry + EL_TM2_AT_ROWS, t->rows);
    el_store32(entry + EL_TM2_AT_COLS, t->cols);
    el_store32(entry + EL_TM2_AT_GROUP, t->group);
    entry[EL_TM2_AT_CODEC] = t->codec;
    entry[EL_TM2_AT_SCALE_KIND] = t->scale_kind;
    entry[EL_TM2_AT_ROTATION] = t->rotation;
    el_store64(entry + EL_TM2_AT_DATA, offset);
    el_store64(entry + EL_TM2_AT_DATA_BYTES, t->bytes);
    el_store32(entry + EL_TM2_AT_DATA_CRC, el_crc32(0, t->data, (size_t)t->bytes));
}

static edgellm_status put(el_tm2_writer *w, const el_tensor *t, edgellm_error *err)
{
    EL_TRY(check_tensor(w, t, err));
    el_outfile_align(&w->out, EL_TM2_ALIGN);
    fill_entry(w->entries + (size_t)w->n_tensors * EL_TM2_TENSOR_BYTES, t, w->out.written);
    w->n_tensors++;
    if (el_codecs[t->codec].levels) w->version = EL_TM2_CHAINED;
    el_outfile_write(&w->out, t->data, (size_t)t->bytes);
    return el_outfile_check(&w->out, err);
}

edgellm_status el_tm2_put(el_tm2_writer *writer, const el_tensor *tensor, edgellm_error *err)
{
    edgellm_status status = put(writer, tensor, err);
    if (status != EDGELLM_OK) writer->failed = true;
    return status;
}

/* ---- finish ---------------------------------------------------------------------------- */

static int compare_entries(const void *a, const void *b)
{
    return strcmp(a, b); /* an entry begins with its name */
}

static void write_directory(el_tm2_writer *w)
{
    qsort(w->entries, w->n_tensors, EL_TM2_TENSOR_BYTES, compare_entries);
    begin_section(w);
    emit(w, w->entries, (uint64_t)w->n_tensors * EL_TM2_TENSOR_BYTES);
    end_section(w, EL_TM2_TENSORS);
}

static void fill_header(el_tm2_writer *w)
{
    uint8_t *h = w->head;
    memcpy(h, EL_TM2_MAGIC, EL_TM2_MAGIC_BYTES);
    el_store32(h + EL_TM2_AT_VERSION, w->version);
    el_store32(h + EL_TM2_AT_SECTIONS, EL_TM2_SECTIONS);
    el_store64(h + EL_TM2_AT_FILE_BYTES, w->out.written);
    el_store32(h + EL_TM2_AT_TABLE_CRC, el_crc32(0, h + EL_TM2_HEADER_BYTES, EL_TM2_TABLE_BYTES));
    el_store32(h + EL_TM2_AT_HEADER_CRC, el_crc32(0, h, EL_TM2_AT_HEADER_CRC));
}

static edgellm_status write_rest(el_tm2_writer *w, const char *manifest, edgellm_error *err)
{
    if (w->failed) {
        return el_fail(err, EDGELLM_ERR_USAGE, "the file lacks a tensor that was refused");
    }
    if (!el_text_is_valid(manifest, strlen(manifest))) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "the manifest is not UTF-8");
    }
    end_section(w, EL_TM2_WEIGHTS); /* its checksum is 0: each tensor has its own */
    write_directory(w);
    write_text(w, manifest, EL_TM2_MANIFEST);
    fill_header(w);
    return el_outfile_patch(&w->out, 0, w->head, sizeof w->head, err);
}

static edgellm_status ask(el_tm2_writer *writer, const el_tm2_judge *judge, edgellm_error *err)
{
    if (!judge) return EDGELLM_OK;
    EL_TRY(el_outfile_flush(&writer->out, err));
    return judge->accept(judge->context, writer->out.temporary, err);
}

edgellm_status el_tm2_finish(el_tm2_writer *writer, const char *manifest, const el_tm2_judge *judge,
                             uint64_t *file_bytes, edgellm_error *err)
{
    edgellm_status status = write_rest(writer, manifest, err);
    if (status == EDGELLM_OK) status = ask(writer, judge, err);
    uint64_t written = writer->out.written;
    if (status != EDGELLM_OK) {
        el_tm2_cancel(writer);
        return status;
    }
    status = el_outfile_commit(&writer->out, err);
    free(writer->entries);
    free(writer);
    if (status == EDGELLM_OK && file_bytes) *file_bytes = written;
    return status;
}

void el_tm2_cancel(el_tm2_writer *writer)
{
    if (!writer) return;
    el_outfile_cancel(&writer->out);
    free(writer->entries);
    free(writer);
}
