#include "quant/size.h"

#include "format/tm2_layout.h"
#include "format/vocab_pack.h"

#define MOST_BYTES (UINT64_C(1) << 62)

uint64_t el_size_vocab(const el_vocab *vocab)
{
    return EL_TM2_VOCAB_HEAD_BYTES + el_vocab_pack(vocab, NULL);
}

static void add_section(el_size *size, uint64_t bytes)
{
    size->bytes = el_tm2_aligned(size->bytes) + bytes;
}

void el_size_begin(el_size *size, uint64_t vocab_bytes, uint64_t template_bytes)
{
    *size = (el_size){.bytes = EL_TM2_FIRST};
    add_section(size, el_tm2_model_bytes(EL_TM2_NUMBERS_4));
    add_section(size, vocab_bytes);
    add_section(size, template_bytes);
    add_section(size, 0); /* the weights begin here, even if there are none */
}

uint64_t el_size_tensor(uint32_t rows, uint32_t cols, const el_size_form *form)
{
    el_matrix_layout layout;
    if (form->codec == EL_CODEC_F32) {
        uint64_t weights = (uint64_t)rows * cols;
        return weights <= MOST_BYTES / sizeof(float) ? weights * sizeof(float) : 0;
    }
    if (el_matrix_measure(rows, cols, form->codec, form->kind, form->group, &layout)) return 0;
    return layout.bytes;
}

int el_size_put(el_size *size, uint32_t rows, uint32_t cols, const el_size_form *form)
{
    uint64_t bytes = el_size_tensor(rows, cols, form);
    if (bytes == 0 || size->bytes > MOST_BYTES - bytes) return -1;
    add_section(size, bytes); /* each aligned as a section is */
    size->tensors++;
    return 0;
}

uint64_t el_size_finish(const el_size *size, uint64_t manifest_bytes)
{
    el_size whole = *size;
    add_section(&whole, (uint64_t)whole.tensors * EL_TM2_TENSOR_BYTES);
    add_section(&whole, manifest_bytes);
    return whole.bytes;
}
