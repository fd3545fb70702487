/* fuzz_tm2.c: any bytes as a model file, TM2 (docs/FORMAT.md): reader, engine, session. */
#include <stdlib.h>
#include <string.h>

#include "format/tm2.h"
#include "format/vocab_pack.h"
#include "fuzz/fuzz_model.h"

static bool lies_inside(const el_tm2 *file, const void *at, uint64_t bytes)
{
    uintptr_t first = (uintptr_t)file->map.data, start = (uintptr_t)at;
    return start >= first && bytes <= file->map.size &&
           start - first <= file->map.size - (size_t)bytes;
}

static void check_tensor(const el_tm2 *file, uint32_t index)
{
    el_tensor t, found = {0};
    el_tm2_tensor(file, index, &t);
    FUZZ_CHECK(lies_inside(file, t.data, t.bytes) && lies_inside(file, t.name, 1));
    FUZZ_CHECK((uintptr_t)t.data % 64 == 0 && t.codec < EL_CODEC_COUNT);
    FUZZ_CHECK(t.rotation < EL_ROTATIONS && !(t.rotation && t.cols % EL_ROTATION_WIDTH));
    FUZZ_CHECK(el_tm2_find(file, t.name, &found) && found.data == t.data);
}

/* Packed by us, whoever packed it before, the vocabulary is the same. */
static void check_vocab(const el_tm2 *file)
{
    const el_vocab *v = &file->vocab;
    const uint64_t size = el_vocab_pack(v, NULL);
    const uint32_t token_bytes = v->starts[v->n_tokens];
    uint8_t *packed = malloc((size_t)size);
    el_vocab again = {
        .n_tokens = v->n_tokens, .n_merges = v->n_merges, .pretokenizer = v->pretokenizer};
    el_arena memory;
    FUZZ_CHECK(packed && el_vocab_pack(v, packed) == size);
    FUZZ_CHECK(el_vocab_unpack(&again, v->ranks != NULL, el_vocab_flagged(v), token_bytes, packed,
                               size, 0, &memory, NULL) == EDGELLM_OK);
    FUZZ_CHECK(memory.size == file->vocab_memory.size);
    FUZZ_CHECK(memcmp(memory.base, file->vocab_memory.base, memory.size) == 0);
    el_arena_release(&memory);
    free(packed);
}

static void check_file(const el_tm2 *file, size_t size)
{
    FUZZ_CHECK(file->map.size == size && file->small_bytes <= size);
    FUZZ_CHECK(file->config.vocab == file->vocab.n_tokens);
    FUZZ_CHECK(lies_inside(file, file->manifest, strlen(file->manifest) + 1));
    check_vocab(file);
    FUZZ_CHECK(lies_inside(file, file->vocab.chat_template, strlen(file->vocab.chat_template) + 1));
    for (uint32_t i = 0; i < file->n_tensors; i++)
        check_tensor(file, i);
}

/* Opens, or leaves the structure as it was. */
static bool try_open(const char *path, size_t size, bool verify)
{
    el_tm2 file, before;
    edgellm_error err = {0};
    memset(&file, 0x5a, sizeof file);
    memcpy(&before, &file, sizeof file);
    if (!fuzz_status(el_tm2_open(&file, path, verify, &err), &err)) {
        FUZZ_CHECK(memcmp(&file, &before, sizeof file) == 0);
        return false;
    }
    check_file(&file, size);
    el_tm2_close(&file);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_file file = fuzz_file_open(data, size);
    bool verified = try_open(file.path, size, true), opened = try_open(file.path, size, false);
    FUZZ_CHECK(opened || !verified); /* verify only adds checks */
    bool runs = fuzz_model(file.path, false);
    FUZZ_CHECK(opened || !runs);
    FUZZ_CHECK(!verified || fuzz_model(file.path, true) == runs);
    fuzz_file_close(&file);
    return 0;
}
