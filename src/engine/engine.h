/* engine.h: what an engine is made of; shared by the files of src/engine. */
#ifndef EL_ENGINE_ENGINE_H
#define EL_ENGINE_ENGINE_H

#include "base/arena.h"
#include "engine/kernel_choice.h"
#include "grammar/program.h"
#include "kernel/kernels.h"
#include "model/model.h"
#include "token/chat.h"

struct edgellm_engine {
    el_tm2 file;
    el_kernels kernels;
    el_choice_how choice; /* how they were chosen */
    el_model model;
    el_lora loras[EL_LORA_MAX]; /* (model.n_loras) */
    el_tokenizer *tokenizer;
    el_chat chat;
    el_trie trie; /* if there may be grammars */
    bool grammars;
    bool copied;            /* the file: in memory of its own */
    el_arena arena;         /* this struct, the layers, the tokenizer's tables */
    uint64_t program_bytes; /* resident before the file was opened */
};

struct edgellm_grammar {
    const edgellm_engine *engine;
    el_program program;
};

#endif
