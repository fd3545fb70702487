/* compress_ends.c: the embedding and the head. */
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "train/compress_run.h"
#include "train/gptq.h"

typedef struct ends {
    const el_gguf_tensor *tensor;
    uint32_t begin; /* row of the tensor that is the latent's first */
    el_latent *latent;
    el_gptq gptq;
    float *rows;   /* (members, BAND, dim) */
    float *errors; /* likewise */
} ends;

static void ends_piece(void *context, uint32_t piece, unsigned member)
{
    const ends *e = context;
    uint32_t first = piece * EL_GPTQ_BAND, left = e->latent->rows - first;
    uint32_t count = left < EL_GPTQ_BAND ? left : EL_GPTQ_BAND;
    size_t at = (size_t)member * EL_GPTQ_BAND * e->latent->cols;
    el_source_rows(e->tensor, e->begin + first, count, e->rows + at);
    el_gptq_rows(&e->gptq, e->latent, first, count, e->rows + at, e->errors + at);
}

static edgellm_status check_rows(const el_gguf_tensor *t, edgellm_error *err)
{
    float *row = malloc(t->cols * sizeof *row);
    edgellm_status status = EDGELLM_OK;
    if (!row) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for a row of weights");
    for (uint32_t i = 0; i < t->rows && status == EDGELLM_OK; i++)
        status = el_source_load_row(t, i, row, err);
    free(row);
    return status;
}

/* Second moments of what the head sees; for an embedding of its own, the identity. */
static void ends_moments(const el_run *r, bool head, float *h)
{
    uint32_t dim = r->shape.dim, tokens = r->sequences * r->text.length;
    if (head) {
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)dim, (int)dim, (int)tokens,
                    1.0f / (float)tokens, r->hidden, (int)dim, r->hidden, (int)dim, 0.0f, h,
                    (int)dim);
        return;
    }
    memset(h, 0, (size_t)dim * dim * sizeof *h);
    for (uint32_t i = 0; i < dim; i++)
        h[(size_t)i * dim + i] = 1.0f;
}

static void round_piece(const el_run *r, ends *e, el_latent_table *table, uint32_t piece)
{
    e->latent = &table->piece[piece];
    e->begin = el_latent_table_begin(table, piece);
    el_pieces_run(r->crew, (e->latent->rows + EL_GPTQ_BAND - 1) / EL_GPTQ_BAND, ends_piece, e);
}

static edgellm_status round_end(el_run *r, const el_gguf_tensor *tensor, el_latent_table *table,
                                bool head, edgellm_error *err)
{
    uint32_t dim = r->shape.dim;
    size_t square = (size_t)dim * dim, band = (size_t)r->members * EL_GPTQ_BAND * dim;
    ends e = {.tensor = tensor};
    EL_TRY(check_rows(tensor, err));
    float *memory = malloc((2 * square + dim + 2 * band) * sizeof *memory);
    if (!memory) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for the embedding");
    float *h = memory, *factor = h + square, *importance = factor + square;
    e.rows = importance + dim;
    e.errors = e.rows + band;
    ends_moments(r, head, h);
    edgellm_status status = el_gptq_prepare(h, dim, el_latent_table_rotated(table), 0.03f, factor,
                                            importance, &e.gptq, err);
    for (uint32_t i = 0; i < table->pieces && status == EDGELLM_OK; i++)
        round_piece(r, &e, table, i);
    free(memory);
    return status;
}

edgellm_status el_run_ends(el_run *r, edgellm_error *err)
{
    el_span span = el_student_ends_span(&r->student);
    if (el_journal_take(&r->journal, EL_RECORD_ENDS, span.data, span.bytes)) return EDGELLM_OK;
    const el_source *s = &r->source;
    EL_TRY(round_end(r, s->embedding, &r->student.embedding, r->student.tied, err));
    if (!r->student.tied) EL_TRY(round_end(r, s->head, &r->student.head, true, err));
    return el_journal_add(&r->journal, EL_RECORD_ENDS, span.data, span.bytes, err);
}
