/*
 * edgellm.h: the public interface of EdgeLLM, a language-model engine for small CPUs whose
 * answers are the same bits, and take nearly the same time, on every run.
 *
 * Objects
 *   edgellm_engine   one model file, mapped read-only. Immutable after open: any number of
 *                    threads may use it at once. It must outlive its sessions.
 *   edgellm_session  one conversation: KV cache, scratch, sampler, worker threads. One owner:
 *                    calls on the same session must not overlap; different sessions may run in
 *                    different threads.
 *
 * Errors
 *   Every fallible function returns an edgellm_status and, where `err` is not NULL, fills in one
 *   line that says what was wrong, where, and what to do. On failure output arguments are left
 *   as they were. The library never prints, never exits, and never changes signal handlers.
 *
 * Memory
 *   edgellm_plan() states every byte before a model is loaded. After edgellm_session_open() has
 *   returned, no function on the token path (eval, sample, stream) allocates, maps, faults or calls
 *   the kernel; but for the sleep of a thread that waits for others, and, where `realtime` chose a
 *   policy that leaves time to others, the calls that do so.
 *
 * Numbers
 *   For one model file, one list of tokens and one seed the logits are bit-identical on every
 *   instruction set, number of threads and way of cutting the prompt (docs/NUMERICS.md). The
 *   floating-point environment of the calling thread is saved, set and restored by each call.
 */
#ifndef EDGELLM_H
#define EDGELLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(EDGELLM_BUILDING) && defined(__GNUC__)
#define EDGELLM_API __attribute__((visibility("default")))
#else
#define EDGELLM_API
#endif

#define EDGELLM_VERSION "0.1.0"

/* ---- errors ---------------------------------------------------------------------------- */

/* The values are also the exit codes of the `edgellm` program. */
typedef enum edgellm_status {
    EDGELLM_OK = 0,
    EDGELLM_ERR_INTERNAL = 1,    /* a bug in EdgeLLM: please report it */
    EDGELLM_ERR_USAGE = 2,       /* an argument is out of its documented range */
    EDGELLM_ERR_IO = 3,          /* the system could not open, read, map or write a file */
    EDGELLM_ERR_FORMAT = 4,      /* a file is truncated, damaged or not of the format it claims */
    EDGELLM_ERR_UNSUPPORTED = 5, /* the file is sound, but this version cannot run it */
    EDGELLM_ERR_MEMORY = 6,      /* memory ran out, or the plan exceeds the cap given */
    EDGELLM_ERR_CONTEXT = 7,     /* the tokens do not fit into the session's context */
    EDGELLM_ERR_INTERRUPTED = 8, /* the caller's progress function asked to stop */
    EDGELLM_ERR_DEADLINE = 9,    /* what was asked for would not end in time */
    EDGELLM_ERR_BUSY = 10        /* all slots of a scheduler are taken: try again later */
} edgellm_status;

typedef struct edgellm_error {
    edgellm_status status;
    char message[480]; /* one line, UTF-8, NUL-terminated, without a line end */
} edgellm_error;

/* The version of the library that is linked, such as "0.1.0". Never NULL. Thread-safe. */
EDGELLM_API const char *edgellm_version(void);
/* Such as "format"; "unknown" for other values. Thread-safe. */
EDGELLM_API const char *edgellm_status_name(edgellm_status status);

/* ---- engine ---------------------------------------------------------------------------- */

typedef struct edgellm_engine edgellm_engine;

/* A LoRA adapter, as `edgellm quantize --lora` makes it of others' (docs/ADAPTERS.md). */
typedef struct edgellm_adapter {
    const char *path; /* mapped as the model is */
    float scale;      /* by which sessions begin: finite, not 0 */
} edgellm_adapter;

typedef struct edgellm_engine_options {
    const char *kernel;  /* NULL: the fastest; else "scalar", "avx2", "neon", ... exactly */
    const char *cpumask; /* NULL: all; else the highest level that may be used, same names */
    /* NULL: the newest is taken to be the fastest. Else a folder, made if missing, of small files
     * that say which is, for each processor, as timed in some ms if there is none or cannot be. */
    const char *kernel_cache;
    bool verify;           /* check the checksums of the weights too (reads the whole file) */
    bool copy;             /* into memory of its own, of huge pages if there are: more even */
    bool grammars;         /* keep the tokens as a tree, for edgellm_grammar_create() */
    const char *chat_form; /* NULL: as the file's template says; else by its name: "chatml", ... */
    const edgellm_adapter *adapters; /* (n_adapters) in every session's plan and info.identity */
    uint32_t n_adapters;             /* up to 8 */
} edgellm_engine_options;

/* Opens a TM2 file (docs/FORMAT.md). `options` may be NULL. *engine is owned by the caller from
 * then on. A file that is mapped, not copied, nobody may write to or cut short until it is closed:
 * that would end the process. (A new file under the same name, put in place by rename, is no change
 * to it.) The kernels that will run are first tried on this CPU against the scalar ones, in 0.2 ms.
 * Errors: IO, FORMAT, UNSUPPORTED (another version of the file; a kernel that is wrong on this CPU;
 * a chat_form whose tokens it has not), MEMORY, USAGE (unknown kernel name or chat_form). */
EDGELLM_API edgellm_status edgellm_engine_open(const char *path,
                                               const edgellm_engine_options *options,
                                               edgellm_engine **engine, edgellm_error *err);
/* Releases an engine that has no sessions left. NULL is allowed. */
EDGELLM_API void edgellm_engine_close(edgellm_engine *engine);

typedef struct edgellm_model_info {
    const char *architecture;  /* such as "llama"; valid as long as the engine */
    const char *name;          /* from the source file; may be "" */
    const char *manifest;      /* JSON: how the file was made; NUL-terminated */
    const char *kernel;        /* the kernel level in use, such as "avx2" */
    const char *kernel_choice; /* why: "given", "newest", "measured" just now, "remembered" */
    const char *pretokenizer;  /* such as "smollm" */
    bool has_chat_template;    /* edgellm_chat_prompt() will work */
    bool has_unknown_template; /* the file has one that is not known, and none was asked for */
    bool copied;               /* the file was, into memory of the engine's own */
    const char *chat_form; /* how it lays out: "chatml", "llama3", ...; NULL: it will not work */
    uint32_t layers, dim, ffn_dim, heads, kv_heads, head_dim;
    uint32_t vocab;           /* number of tokens: ids are 0 .. vocab-1 */
    uint32_t context_trained; /* longest context the model was trained for, in tokens */
    uint32_t adapters;        /* number of adapters */
    uint32_t tensors;         /* number of tensors in the file */
    uint64_t parameters;      /* number of weights */
    uint64_t file_bytes;      /* size of the file */
    uint64_t token_bytes;     /* of weights that one token reads: of an embedding alone one row */
    uint32_t identity[3];     /* tells models apart: CRC-32s of model, vocab and (all) tensors */
} edgellm_model_info;

EDGELLM_API void edgellm_engine_info(const edgellm_engine *engine, edgellm_model_info *info);

typedef struct edgellm_tensor_info {
    const char *name;   /* valid as long as the engine */
    const char *codec;  /* such as "s4" or "f32" (docs/FORMAT.md) */
    const char *scales; /* "f16", "byte" or "none" */
    uint32_t rows, cols;
    uint32_t group;       /* weights that share a scale; 0: the whole row */
    const char *rotation; /* of the inputs it meets: "none" or "hadamard64" (docs/NUMERICS.md) */
    uint64_t bytes;
} edgellm_tensor_info;

/* Describes tensor `index` (0 .. tensors-1). Errors: USAGE. */
EDGELLM_API edgellm_status edgellm_engine_tensor(const edgellm_engine *engine, uint32_t index,
                                                 edgellm_tensor_info *info, edgellm_error *err);

/* Name of kernel level `index` that this CPU can run, from "scalar" upwards; NULL past the last. */
EDGELLM_API const char *edgellm_kernel_name(uint32_t index);
/* The same for all levels that were built, whether this CPU can run them or not. Thread-safe. */
EDGELLM_API const char *edgellm_kernel_built(uint32_t index);

/* ---- text and tokens ------------------------------------------------------------------- */

typedef enum edgellm_tokenize_flags {
    EDGELLM_TOKENIZE_PLAIN = 0,      /* every character is text, "<|im_end|>" too */
    EDGELLM_TOKENIZE_SPECIAL = 1,    /* the names of special tokens become those tokens */
    EDGELLM_TOKENIZE_KEEP_BYTES = 2, /* see below */
    EDGELLM_TOKENIZE_BOS = 4         /* first the token of a beginning, if the vocabulary asks */
} edgellm_tokenize_flags;

/* Turns `len` bytes of text (any bytes, NUL included) into tokens. tokens: room for `capacity` ids;
 * NULL with capacity 0 only counts. *count: how many ids the text has, also when that is more than
 * `capacity` (then the first `capacity` are stored and the status is OK: compare).
 * A vocabulary may lack a token for some byte. Such bytes are dropped, as the reference
 * tokenizers do; with KEEP_BYTES each becomes the id vocab + byte, which edgellm_detokenize()
 * turns back and edgellm_session_eval() refuses, and no text is normalized (NFC) before.
 * Allocates working memory; not part of the token path. Errors: MEMORY. Thread-safe. */
EDGELLM_API edgellm_status edgellm_tokenize(const edgellm_engine *engine, const char *text,
                                            size_t len, unsigned flags, uint32_t *tokens,
                                            size_t capacity, size_t *count, edgellm_error *err);

/* Turns tokens into bytes: writes at most `capacity` (no NUL), *len: of all. Special tokens give
 * their names if `special`, else nothing. Errors: USAGE (an id out of range). Thread-safe. */
EDGELLM_API edgellm_status edgellm_detokenize(const edgellm_engine *engine, const uint32_t *tokens,
                                              size_t count, bool special, char *text,
                                              size_t capacity, size_t *len, edgellm_error *err);

/* Holds back the bytes of an unfinished UTF-8 character between tokens. Start with {0}. */
typedef struct edgellm_stream {
    uint8_t pending[4];
    uint8_t count;
} edgellm_stream;

#define EDGELLM_STREAM_BYTES 1024 /* room that one push or flush may need */

/* Appends a token and writes the text (EDGELLM_STREAM_BYTES at most) that is now complete: whole
 * UTF-8 characters, and bytes that can never become one; nothing of special tokens. Returns its
 * bytes. */
EDGELLM_API size_t edgellm_stream_push(const edgellm_engine *engine, edgellm_stream *stream,
                                       uint32_t token, char *text);
/* What is held at the end of the answer: at most 4 bytes. */
EDGELLM_API size_t edgellm_stream_flush(edgellm_stream *stream, char *text);

/* Does this token end an answer (end of text, end of turn)? Thread-safe. */
EDGELLM_API bool edgellm_is_end(const edgellm_engine *engine, uint32_t token);

/* One message of a conversation; UTF-8, NUL-terminated. role: "system", "user", "assistant", "tool"
 * (what a call gave), "tools" (one, at the start: what may be called, as its form wants it). */
typedef struct edgellm_message {
    const char *role;
    const char *content;
} edgellm_message;

typedef enum edgellm_chat_flags {
    EDGELLM_CHAT_OPEN_ANSWER = 1, /* end with the opening of the assistant's turn */
    EDGELLM_CHAT_CONTINUE = 2     /* follows an answer: end its turn first; no default system one */
} edgellm_chat_flags;

/* Lays out a conversation with the model's chat template and tokenizes it. The names of special
 * tokens inside `content` stay text, so a user cannot forge a turn. Where the first message is
 * not a system message, the template's own default one is put before it.
 * A conversation is computed turn by turn like this: the first messages with OPEN_ANSWER; the
 * tokens of the answer without the one that ended it; then each next message with CONTINUE |
 * OPEN_ANSWER. An answer that was broken off is closed in the same way. flags: edgellm_chat_flags.
 * tokens, capacity, count: as in edgellm_tokenize(). Errors: UNSUPPORTED (no known template), USAGE
 * (unknown role), MEMORY. Thread-safe. */
EDGELLM_API edgellm_status edgellm_chat_prompt(const edgellm_engine *engine,
                                               const edgellm_message *messages, size_t n_messages,
                                               unsigned flags, uint32_t *tokens, size_t capacity,
                                               size_t *count, edgellm_error *err);

/* Name of template `index` (0, 1, ...) that is known; NULL past the last. Thread-safe. */
EDGELLM_API const char *edgellm_chat_form(uint32_t index);

/* ---- session --------------------------------------------------------------------------- */

typedef struct edgellm_session edgellm_session;
typedef struct edgellm_session_options {
    uint32_t context; /* tokens of KV cache, up to what the model knows and 2^20; 0: at most 512 */
    uint32_t batch;   /* tokens of a prompt computed together, 1..512; 0: 64. Never changes bits */
    uint32_t threads; /* 1 .. cores this process may use, less reserve_cores; 0: all of those, at
                         most 8; with `realtime` only whole cores of the fastest cluster */
    uint32_t reserve_cores; /* of the cores this process may use, so many are left to others */
    uint32_t kv_bits;       /* of the KV cache: 16, 8 or 4; 0: 8. Only 8 with exact */
    bool exact;             /* float32 activations and KV cache: the slow reference */
    bool realtime;          /* as real-time as is permitted: see edgellm_session_realtime() */
    /* Every token takes the time of a full context: attention goes over all its positions, those
     * that are not there yet counting for nothing; same bits. For control loops; choose a small
     * context. Not with exact. What penalties and DRY of the sampler look back on is not padded. */
    bool constant_time;
    bool grammar;     /* room for a grammar: see edgellm_session_set_grammar() */
    uint64_t max_ram; /* bytes the whole process may need by plan; 0: no cap */
    /* Own memory: a static buffer, a huge page, a region that is locked already. NULL and 0: the
     * library reserves the memory itself. See edgellm_session_open(). */
    void *memory;        /* aligned to EDGELLM_MEMORY_ALIGN */
    size_t memory_bytes; /* its size: at least session_bytes of the plan */
} edgellm_session_options;

#define EDGELLM_MEMORY_ALIGN 64

/* Every byte the process will need, by use. total is the sum of the parts before it. */
typedef struct edgellm_memory_plan {
    uint64_t weights;  /* the model file, mapped or copied */
    uint64_t tables;   /* vocabulary, tokenizer tables and tensor directory */
    uint64_t kv_cache; /* keys and values of `context` positions, or see window_positions */
    uint64_t scratch;  /* activations, logits, rotary tables, sampler */
    uint64_t threads;  /* what the worker threads' stacks touch */
    uint64_t program;  /* resident before anything was loaded: code, libc, caller's own */
    uint64_t total;
    uint64_t session_bytes;  /* kv_cache + scratch: the one range that a session lives in */
    uint64_t position_bytes; /* that a position fills, and later tokens (within a window) read */
    uint32_t context, batch, n_threads; /* the options with defaults filled in */
    uint32_t window_positions; /* that layers with a window keep; 0: all keep the whole context */
} edgellm_memory_plan;

/* States the memory for a model file without loading its weights. `options` may be NULL; its memory
 * and memory_bytes are not looked at. (Own memory that is resident before the engine is opened
 * counts under program too.) Errors: as edgellm_engine_open(); USAGE (an option out of range);
 * MEMORY (total > max_ram, with the numbers and what would fit; *plan is filled in then too). */
EDGELLM_API edgellm_status edgellm_plan(const char *path, const edgellm_session_options *options,
                                        edgellm_memory_plan *plan, edgellm_error *err);

/* Reserves, locks (where permitted) and touches all memory of a session, starts its threads.
 * `options` may be NULL. On success *session is owned by the caller.
 * Own memory (options->memory): the session takes its first session_bytes, as stated by
 * edgellm_plan() for the same options, and nothing else but the threads that the system starts
 * (none if `threads` is 1). They are overwritten, and so touched; whether they are locked is up to
 * their owner. They belong to the session until edgellm_session_close() returns, which leaves them
 * to the caller: neither freed nor unmapped. Bits are the same as without.
 * Errors: MEMORY (also: memory_bytes is too small; the control group allows less than the session
 * keeps, copied or with realtime the weights too), USAGE (also: memory is not aligned). */
EDGELLM_API edgellm_status edgellm_session_open(const edgellm_engine *engine,
                                                const edgellm_session_options *options,
                                                edgellm_session **session, edgellm_error *err);
/* Stops the threads and releases the memory. NULL is allowed. */
EDGELLM_API void edgellm_session_close(edgellm_session *session);

/* Appends `count` tokens at the current position and computes them (prefill, or one token of
 * decode). all_logits: (count, vocab), the logits after each token; NULL: only those after the last
 * are computed, see edgellm_session_logits(). Errors: CONTEXT (position + count > context; nothing
 * is computed), USAGE (count 0, bad id), FORMAT (the weights are so large that the logits overflow;
 * all_logits then holds them as they are), DEADLINE (see edgellm_session_set_deadline()). The
 * position stays after an error. */
EDGELLM_API edgellm_status edgellm_session_eval(edgellm_session *session, const uint32_t *tokens,
                                                size_t count, float *all_logits,
                                                edgellm_error *err);

/* One more token for each of `count` sessions of one engine, in one pass over the weights:
 * tokens[i] is appended to sessions[i] and computed. Faster than one after the other, with the same
 * bits. The threads of the session with the largest context (the first of several) do the work; its
 * batch must hold `count` tokens. sessions: all different, all exact or none, all with
 * contexts on the same side of the border where a model (Phi-3) turns positions otherwise; nobody
 * else may use any meanwhile. logits: room for (count, vocab) floats; each session has its own too.
 * Errors: CONTEXT (no room in one of the sessions), USAGE, FORMAT (logits overflow). After an error
 * no position has changed. */
EDGELLM_API edgellm_status edgellm_sessions_eval(edgellm_session *const *sessions,
                                                 const uint32_t *tokens, uint32_t count,
                                                 float *logits, edgellm_error *err);

/* The logits (vocab) after the last token computed; valid until the next call on the session. */
EDGELLM_API const float *edgellm_session_logits(const edgellm_session *session);

/* Number of tokens in the KV cache: 0 .. context. */
EDGELLM_API uint32_t edgellm_session_position(const edgellm_session *session);

/* The tokens in the KV cache: edgellm_session_position() ids; valid until the next call. */
EDGELLM_API const uint32_t *edgellm_session_tokens(const edgellm_session *session);

/* By which scale (finite; 0: not at all) each of the engine's adapters counts from now on: scales
 * (adapters of info); NULL: as they were opened. Where that changes something, all tokens are
 * forgotten. Errors: USAGE. */
EDGELLM_API edgellm_status edgellm_session_set_adapters(edgellm_session *session,
                                                        const float *scales, edgellm_error *err);

/* Options with defaults filled in, and the memory as planned. */
EDGELLM_API void edgellm_session_plan(const edgellm_session *session, edgellm_memory_plan *plan);

/* ---- real time -------------------------------------------------------------------------- */

#define EDGELLM_REALTIME_CORES 64
#define EDGELLM_REALTIME_TRIES 6
#define EDGELLM_REALTIME_NOTES 12

/* One way to be scheduled, tried for some milliseconds beside a busy thread on the same core. */
typedef struct edgellm_realtime_try {
    const char *name; /* such as "SCHED_FIFO, lending"; valid as long as the library */
    char refusal[64]; /* why it was refused, or "" */
    float gap_ms;     /* longest time that something else ran, if it was not refused */
    float lost;       /* share of the time that something else ran, 0 .. 1 */
} edgellm_realtime_try;

/* What a session with `realtime` got. */
typedef struct edgellm_realtime {
    bool active;           /* false: opened without `realtime`; all else is 0 then */
    uint64_t wanted_bytes; /* of weights, session, tables, code and stacks, in whole pages ... */
    uint64_t locked_bytes; /* ... and how many are locked in memory */
    uint32_t n_threads;    /* of the session */
    uint32_t n_cores;      /* n_threads if each is pinned to a core of its own, else 0 */
    uint32_t cores[EDGELLM_REALTIME_CORES]; /* (n_cores), the caller's first */
    char policy[64];     /* in force: such as "SCHED_FIFO, priority 1, lending"; or "lost" since */
    uint32_t taken_back; /* thousandths of its time that the kernel takes from a real-time thread */
    uint32_t chosen, n_tries;
    edgellm_realtime_try tries[EDGELLM_REALTIME_TRIES]; /* (n_tries); empty: nothing was changed */
    uint32_t n_notes;
    char notes[EDGELLM_REALTIME_NOTES][160]; /* (n_notes) for each thing not got a line: why */
} edgellm_realtime;

/*
 * With `realtime` in its options, opening a session also
 *   locks and touches the weights, the session, the engine's tables, the code and the stacks;
 *   pins the calling thread and each worker to one core, of those the thread may use: the fastest
 *   cluster first, second hardware threads of a core last;
 *   tries the policies that are permitted, in some 80 ms, and keeps the most even one: SCHED_FIFO
 *   (where the kernel takes nothing back), SCHED_FIFO that leaves the kernel's share between tokens
 *   by going on as an ordinary thread or by sleeping, nice, SCHED_DEADLINE, or none.
 * It never changes a setting of the system, and nothing in it is an error: what is refused is a
 * note. edgellm_session_close() puts policy, cores and locks back (the weights stay locked until
 * the engine is closed), unless somebody has changed them meanwhile. The thread that opens the
 * session is the one that is made real-time: it should also use and close it. Open further sessions
 * in that thread before, or let them have the cores it is pinned to.
 */
EDGELLM_API void edgellm_session_realtime(const edgellm_session *session, edgellm_realtime *report);

/* Forgets all tokens from `position` on (0: everything), keeping the cached prefix. The logits
 * are undefined until the next eval. Errors: USAGE (position > current); CONTEXT: layers with a
 * window keep window_positions of the plan and no longer hold what comes before `position`, which
 * is never so within the last `batch` tokens of those it computed itself: cut at 0 and compute the
 * tokens again. */
EDGELLM_API edgellm_status edgellm_session_truncate(edgellm_session *session, uint32_t position,
                                                    edgellm_error *err);

/* Makes room: the first `keep` tokens stay where they are, of the others the older half (rounded
 * down) is dropped, and what stays of them is computed anew behind `keep`. So everything is, bit
 * for bit, as if only these tokens had been computed; the sampler goes on. With it a session of
 * constant memory has no end. *dropped: how many; may be NULL. Errors: USAGE (nothing would be
 * dropped), DEADLINE (as of an eval; what was not computed again is forgotten). */
EDGELLM_API edgellm_status edgellm_session_shift(edgellm_session *session, uint32_t keep,
                                                 uint32_t *dropped, edgellm_error *err);

/* ---- time ------------------------------------------------------------------------------ */

#define EDGELLM_COSTS_CHUNKS 12
#define EDGELLM_COSTS_PASSES 6

/*
 * What computing takes on this machine, in nanoseconds, as it was measured (`edgellm certify`, or
 * edgellm_session_calibrate()); never a proven bound. A step is one token of decode, computed and
 * chosen; a chunk is a part of a prompt of up to `batch` tokens, and the choice of what follows.
 *   step(position)      = step + step_position * position
 *   chunk(position, n)  = that of n tokens at position 0, from the table, between two rows of it on
 *                         a straight line, + chunk_pair * n * position
 * A pass is a step of each of several sessions at once (edgellm_sessions_eval()):
 *   pass(positions)     = that of so many sessions at position 0, from its table in the same way,
 *                         + step_position * the sum of the positions; without a table as long as
 *                         one after the other
 */
typedef struct edgellm_costs {
    double step, step_position, step_margin;     /* margin: what one may take beyond that */
    uint32_t n_chunks;                           /* rows of the table: 0 .. EDGELLM_COSTS_CHUNKS */
    uint32_t chunk_tokens[EDGELLM_COSTS_CHUNKS]; /* 2 or more, ascending */
    double chunk[EDGELLM_COSTS_CHUNKS];
    double chunk_pair, chunk_margin; /* margin: what a prompt's last chunk may take beyond that */
    uint32_t n_passes;               /* rows of the table: 0 .. EDGELLM_COSTS_PASSES */
    uint32_t pass_sessions[EDGELLM_COSTS_PASSES]; /* 2 or more, ascending */
    double pass[EDGELLM_COSTS_PASSES];
    /* choosing takes longer: by a grammar, with logprobs, with the most probable beside each */
    double mask, logprobs, top_logprobs;
} edgellm_costs;

/* What is expected of an answer. */
typedef struct edgellm_forecast {
    double first_ns;  /* until its first token is known */
    double answer_ns; /* until its last token is known */
    double margin_ns; /* what the last step (or chunk, if there is none) may take beyond that */
    uint32_t tokens;  /* how many of its tokens fit into the time given, with that margin */
    bool admitted;    /* all of them fit, or the time is at least 1.15 times answer_ns */
} edgellm_forecast;

#define EDGELLM_ADMITTED_AT 1.15 /* times the forecast: so much time is always enough to begin */

/* What forecasts and deadlines of a session go by; NULL: nothing is known. Errors: USAGE (a
 * negative or infinite number, a table that does not ascend). */
EDGELLM_API edgellm_status edgellm_session_set_costs(edgellm_session *session,
                                                     const edgellm_costs *costs,
                                                     edgellm_error *err);

/* Measures the costs in some `budget_ns` (a few times the longest step at least), by computing
 * beyond the session's position: what was computed before it and the sampler stay, the logits are
 * undefined afterwards. A quick look: its margins are the largest deviation seen, or a tenth. They
 * are not set. Errors: CONTEXT (no position is left), FORMAT (logits overflow). */
EDGELLM_API edgellm_status edgellm_session_calibrate(edgellm_session *session, uint64_t budget_ns,
                                                     edgellm_costs *costs, edgellm_error *err);

/* Forecasts an answer of `answer_tokens` (1 or more) to `prompt_tokens` that are computed next (0:
 * the logits are there), by the session's costs. within_ns: the time there is; 0 where nobody
 * asks. Each batch of the prompt counts as if it were computed by an eval of its own. Errors: USAGE
 * (no costs were set; no tokens), CONTEXT (the prompt and all but the last token do not fit). */
EDGELLM_API edgellm_status edgellm_session_forecast(const edgellm_session *session,
                                                    uint32_t prompt_tokens, uint32_t answer_tokens,
                                                    double within_ns, edgellm_forecast *forecast,
                                                    edgellm_error *err);

/* From now on edgellm_session_eval() computes no batch that would end after `deadline_ns`, a time
 * of CLOCK_MONOTONIC in nanoseconds; 0: no deadline. It asks before each batch whether the time
 * left holds its cost and margin, of a prompt's batch 1.15 times its cost at most (without costs:
 * whether there is any), and returns DEADLINE if not. A slower batch is given up at the end of the
 * layer in which the deadline passes. What was computed of a longer prompt stays: the position says
 * how far it went, and with more time the rest can follow. The session is as usable as after any
 * eval, but has no logits unless nothing was computed. edgellm_sessions_eval() has no deadlines. */
EDGELLM_API void edgellm_session_set_deadline(edgellm_session *session, uint64_t deadline_ns);

/* ---- sampling -------------------------------------------------------------------------- */

/* Added to the logit of one token, before everything else. */
typedef struct edgellm_logit_bias {
    uint32_t token; /* 0 .. vocab-1; biases of the same token add up */
    float bias;     /* finite, or -INFINITY: the token is never drawn */
} edgellm_logit_bias;

#define EDGELLM_LOGIT_BIAS_MAX    1024 /* biases of a session */
#define EDGELLM_DRY_BREAKERS_MAX  16   /* breakers of a session ... */
#define EDGELLM_DRY_BREAKER_BYTES 40   /* ... and the bytes of each */

/*
 * How the next token is chosen. The steps are those of llama.cpp, in the order of its default
 * chain (docs/SAMPLING.md has the formulas):
 *   logit_bias, penalties, DRY, top_k, typical_p, top_p, min_p, XTC, temperature, draw;
 *   with mirostat: logit_bias, temperature, mirostat, draw, and nothing else.
 * A token's probability p is the softmax over the candidates that are left, without the
 * temperature except in the draw and in mirostat. Among equals the smaller id comes first. Each
 * cut leaves at least one candidate. Penalties and DRY look back on all tokens of the session.
 * Sources: top_p Holtzman et al. 2020, min_p Nguyen et al. 2024, typical_p Meister et al. 2022,
 * repeat_penalty Keskar et al. 2019, DRY and XTC p-e-w 2024, mirostat Basu et al. 2021.
 */
typedef struct edgellm_sampler_options {
    float temperature;       /* 0 .. 100: logits are divided by it; 0: the best that is left */
    uint32_t top_k;          /* only the k best; 0: off */
    float top_p;             /* 0 < top_p <= 1: the fewest best whose p add up to top_p; 1: off */
    float min_p;             /* 0 .. 1: p at least min_p times the best p; 0: off */
    float typical_p;         /* 0 < typical_p <= 1: those whose -log p is nearest to its mean, until
                                their p add up to more than typical_p; 1: off */
    float repeat_penalty;    /* 0 < .. <= 100: the logit of a token among the last repeat_last is
                                divided by it if positive, else multiplied; 1: off */
    float presence_penalty;  /* -100 .. 100: taken off the logit of a token among those; 0: off */
    float frequency_penalty; /* -100 .. 100: taken off for each time it occurs; 0: off */
    uint32_t repeat_last;    /* 0 .. 2^20 tokens that the three penalties look back on */

    float dry_multiplier;        /* 0 .. 100; 0: off. A token that would continue a repetition of n
                                    tokens, n >= dry_allowed_length, loses dry_multiplier *
                                    dry_base^(n - dry_allowed_length) */
    float dry_base;              /* 1 .. 100 */
    uint32_t dry_allowed_length; /* 0 .. 2^20 tokens */
    int32_t dry_penalty_last;    /* 0 .. 2^20 tokens looked back on; 0: off; -1: all */
    const char *const *dry_breakers; /* (n_dry_breakers) texts that no repetition reaches across:
                                        NUL-terminated, 1 .. EDGELLM_DRY_BREAKER_BYTES bytes */
    uint32_t n_dry_breakers;         /* 0 .. EDGELLM_DRY_BREAKERS_MAX */

    float xtc_probability; /* 0 .. 1: how often "exclude top choices" acts; 0: off */
    float xtc_threshold;   /* 0 .. 1: of the candidates with p at or above it all but the last are
                              dropped; above 0.5 there cannot be two, so: off */

    uint32_t mirostat;  /* 0: off; 1, 2: surprise near mirostat_tau, without penalties and cuts */
    float mirostat_tau; /* 0 .. 100 bits */
    float mirostat_eta; /* 0 .. 1: how fast */

    const edgellm_logit_bias *logit_bias; /* (n_logit_bias) */
    uint32_t n_logit_bias;                /* 0 .. EDGELLM_LOGIT_BIAS_MAX */

    uint64_t seed; /* of our own integer generator: same seed, same text, on every CPU */
} edgellm_sampler_options;

/* llama.cpp's defaults: temperature 0.8, top_k 40, top_p 0.95, min_p 0.05, repeat penalty 1.1 over
 * 64 (llama.cpp's long-standing value; newer versions: 1), DRY off with 1.75, 2, -1 and the
 * breakers newline, colon, quote, asterisk; XTC off with 0.1; mirostat off with 5 and 0.1;
 * everything else off; seed 0. The breakers are constants of the library. */
EDGELLM_API edgellm_sampler_options edgellm_sampler_defaults(void);

/* Sets and restarts the session's sampler: generator and mirostat begin anew. Biases and breakers
 * are copied. Errors: USAGE (an option out of range or NaN, an unknown token, every token banned);
 * the sampler is then as it was. */
EDGELLM_API edgellm_status edgellm_session_set_sampler(edgellm_session *session,
                                                       const edgellm_sampler_options *options,
                                                       edgellm_error *err);

/* Chooses the next token from the logits; does not append it. Call after an eval. */
EDGELLM_API uint32_t edgellm_session_sample(edgellm_session *session);

/* A grammar that answers keep to, in GBNF (docs/GRAMMAR.md). The text is not kept. Immutable: any
 * number of sessions and threads may use it, until it is destroyed; the engine must outlive it.
 * Errors: FORMAT (the message has line and column), MEMORY, USAGE (the engine was opened without
 * `grammars`), UNSUPPORTED (the vocabulary lacks bytes, or an end). */
typedef struct edgellm_grammar edgellm_grammar;
EDGELLM_API edgellm_status edgellm_grammar_create(const edgellm_engine *engine, const char *text,
                                                  size_t len, edgellm_grammar **grammar,
                                                  edgellm_error *err);
EDGELLM_API void edgellm_grammar_destroy(edgellm_grammar *grammar);

/* An answer begins that keeps to the grammar (NULL: to none), of max_tokens at most, its end token
 * included. Each token that is chosen counts as taken; all others are banned before the other steps
 * of the sampler, and when max_tokens, the context or the deadline come near, also those after
 * which it might not end in time. After the end only end tokens follow. The grammar must stay until
 * it is replaced. Errors: USAGE (no room was asked for; max_tokens do not hold the shortest
 * answer), UNSUPPORTED (too ambiguous). */
EDGELLM_API edgellm_status edgellm_session_set_grammar(edgellm_session *session,
                                                       const edgellm_grammar *grammar,
                                                       uint32_t max_tokens, edgellm_error *err);

/* As edgellm_session_sample(), which gives an end token where this is an error: UNSUPPORTED (the
 * grammar goes over a bound), USAGE (all that it allows is banned by logit_bias). */
EDGELLM_API edgellm_status edgellm_session_choose(edgellm_session *session, uint32_t *token,
                                                  edgellm_error *err);

/* A running 64-bit hash (FNV-1a over the bit patterns of the logits; any NaN as 7FC00000). Start
 * with EDGELLM_HASH_START; equal hashes on two machines mean equal logits. */
#define EDGELLM_HASH_START 14695981039346656037ULL
EDGELLM_API uint64_t edgellm_hash_logits(uint64_t hash, const float *logits, uint32_t vocab);

/* ---- several sessions ------------------------------------------------------------------ */

#define EDGELLM_SCHEDULER_SLOTS 16 /* the most that a scheduler has */
#define EDGELLM_TOP_LOGPROBS    20 /* and that are told with a token */

/*
 * Several requests at a time on one engine, told apart by their deadlines. Each has a session of
 * its own, a slot. Their work is cut into actions, which nothing interrupts: a part of a prompt, or
 * a step of one or more answers in one pass over the weights. edgellm_scheduler_turn() does the
 * next; when it is called, and by which thread, is up to the caller.
 *   The earliest deadline goes first. A deadline is accepted only if it, and each accepted before,
 *   can be kept with 15 % to spare (EDGELLM_ADMITTED_AT), computed one after the other. What was
 *   accepted waits for no more than the action in which it came, and earlier deadlines.
 *   Others are computed in the time that is left, in turn, and in the same passes, where every
 *   promise holds with them (docs/LATENCY.md, "Several sessions"). Among them, and before promises
 *   that hold all the same, goes who has the highest priority.
 * The bits of an answer are those of a session alone. A scheduler has one owner: calls on it must
 * not overlap. After open nothing is allocated.
 */
typedef struct edgellm_scheduler edgellm_scheduler;

typedef struct edgellm_scheduler_options {
    /* Of each slot: context, exact, constant_time. Of all together: threads, reserve_cores, batch
     * (of a chunk or a pass), realtime, max_ram, memory. A chunk with a rest: 0.8 chunk_ns. */
    edgellm_session_options session;
    uint32_t slots;  /* 1 .. EDGELLM_SCHEDULER_SLOTS; 0: 4 */
    double chunk_ns; /* what actions of several tokens may take; 0: 20 ms, or two steps if longer */
} edgellm_scheduler_options;

/* States the memory of a scheduler, as edgellm_plan() does of a session: kv_cache and scratch are
 * those of all slots, session_bytes is the one range that they live in. `options` may be NULL.
 * Errors: as edgellm_plan(). */
EDGELLM_API edgellm_status edgellm_scheduler_plan(const char *path,
                                                  const edgellm_scheduler_options *options,
                                                  edgellm_memory_plan *plan, edgellm_error *err);

/* Reserves, locks and touches all memory, and starts the threads, as edgellm_session_open() does.
 * On success *scheduler is owned by the caller. Errors: as edgellm_session_open(). */
EDGELLM_API edgellm_status edgellm_scheduler_open(const edgellm_engine *engine,
                                                  const edgellm_scheduler_options *options,
                                                  edgellm_scheduler **scheduler,
                                                  edgellm_error *err);
/* Requests that are there are forgotten. NULL is allowed. */
EDGELLM_API void edgellm_scheduler_close(edgellm_scheduler *scheduler);

/* The memory as planned, with the defaults of context, batch and threads filled in. */
EDGELLM_API void edgellm_scheduler_memory(const edgellm_scheduler *scheduler,
                                          edgellm_memory_plan *plan);

/* Sets what forecasts go by; NULL: nothing is known, and deadlines are refused. Promises that were
 * given stay. Errors: as edgellm_session_set_costs(). */
EDGELLM_API edgellm_status edgellm_scheduler_set_costs(edgellm_scheduler *scheduler,
                                                       const edgellm_costs *costs,
                                                       edgellm_error *err);

/* Measures the costs in some `budget_ns` (each thing three times at least), passes included, and
 * does not set them. A certificate tells more; with `certify --sessions` it has passes too.
 * Forgets what slots hold. Errors: USAGE (a request is there), FORMAT. */
EDGELLM_API edgellm_status edgellm_scheduler_calibrate(edgellm_scheduler *scheduler,
                                                       uint64_t budget_ns, edgellm_costs *costs,
                                                       edgellm_error *err);

/* The same while others compute: `before` is called before each piece, with what that may take (0:
 * nobody knows), and may use another scheduler. INTERRUPTED: it gave false. */
EDGELLM_API edgellm_status edgellm_scheduler_calibrate_beside(
    edgellm_scheduler *scheduler, uint64_t budget_ns, bool (*before)(void *context, double ns),
    void *context, edgellm_costs *costs, edgellm_error *err);

typedef struct edgellm_request {
    const uint32_t *tokens; /* (count) the prompt; copied */
    uint32_t count;         /* 1 or more */
    uint32_t max_tokens;    /* of the answer, 1 or more */
    bool stop_at_end;       /* a token that ends an answer (edgellm_is_end()) does so */
    uint64_t deadline_ns;   /* of CLOCK_MONOTONIC, for the last token; 0: none */
    const edgellm_sampler_options *sampler; /* NULL: the defaults; copied */
    bool logprobs;                          /* events tell how probable tokens were ... */
    uint32_t top_logprobs; /* ... and the most probable: so many, up to EDGELLM_TOP_LOGPROBS */
    const edgellm_grammar *grammar; /* NULL: none; stays until the request has ended */
    bool hash;      /* events have the hash of all logits that tokens were chosen from so far */
    bool embedding; /* no answer: the prompt's embedding, with its END. max_tokens: 1 */
    /* The larger goes first, whatever came before; never so that a promise would be broken. Those
     * of lower priority without a deadline only ride along in passes meanwhile. 0: as usual. */
    int32_t priority;
    /* The answer may be longer than the context: a full one is shifted before the next token, as
     * edgellm_session_shift() does it with shift_keep. What that takes is in every forecast. Not
     * with a grammar. */
    bool shift;
    uint32_t shift_keep;   /* at most half of the context */
    const float *adapters; /* scales as of edgellm_session_set_adapters(); copied */
} edgellm_request;

/* What is expected of a request, if it were submitted now. Of its prompt counts what no free slot
 * holds already, as the beginning of an earlier request. With a deadline only what is promised is
 * before it; without one everything, which is an estimate and no promise. tokens: of its answer,
 * how many would be admitted. Errors: USAGE (no costs were set; no tokens, a bad id; top_logprobs),
 * CONTEXT (prompt and answer, with shift the prompt, do not fit into a slot), BUSY (no slot is
 * free). */
EDGELLM_API edgellm_status edgellm_scheduler_forecast(const edgellm_scheduler *scheduler,
                                                      const edgellm_request *request,
                                                      edgellm_forecast *forecast,
                                                      edgellm_error *err);

/* Takes a request into a free slot. *id: what events call it; never 0, never the same again.
 * *forecast: filled in where costs are known, also with DEADLINE; NULL if nobody asks.
 * Errors: as edgellm_scheduler_forecast(), but costs are needed for a deadline only; DEADLINE (it
 * cannot be promised, or an earlier promise would be broken; the message has the numbers); USAGE
 * (an option of the sampler). */
EDGELLM_API edgellm_status edgellm_scheduler_submit(edgellm_scheduler *scheduler,
                                                    const edgellm_request *request, uint64_t *id,
                                                    edgellm_forecast *forecast, edgellm_error *err);

/* Ends a request; the next turn has the event, and after it the slot is free. False: it has ended
 * already, or was never there. */
EDGELLM_API bool edgellm_scheduler_cancel(edgellm_scheduler *scheduler, uint64_t id);

/* Another deadline (0: none) for a request that has a slot, promised as on arrival: only if what is
 * left of it, and every other promise, can be kept; else it has the one it had. *forecast, of what
 * is left from now on: as of edgellm_scheduler_submit(); tokens: of those that are left. Errors:
 * DEADLINE, USAGE (no costs were set; it has ended, or was never there). */
EDGELLM_API edgellm_status edgellm_scheduler_set_deadline(edgellm_scheduler *scheduler, uint64_t id,
                                                          uint64_t deadline_ns,
                                                          edgellm_forecast *forecast,
                                                          edgellm_error *err);

typedef enum edgellm_finish {
    EDGELLM_FINISH_NOT = 0,       /* it goes on */
    EDGELLM_FINISH_LENGTH = 1,    /* max_tokens were made */
    EDGELLM_FINISH_END = 2,       /* the token that comes with it ends the answer */
    EDGELLM_FINISH_DEADLINE = 3,  /* another token would come too late */
    EDGELLM_FINISH_CANCELLED = 4, /* edgellm_scheduler_cancel() */
    EDGELLM_FINISH_FAILED = 5     /* the turn's error */
} edgellm_finish;

/* A token, and its log-softmax of the logits as they were computed. */
typedef struct edgellm_logprob {
    uint32_t token;
    float logprob;
} edgellm_logprob;

/* Something happened to a request: a token of its answer, its end, or both. */
typedef struct edgellm_event {
    uint64_t id;
    edgellm_finish finish; /* its slot is free again, unless it is NOT */
    bool has_token;
    uint32_t token;
    bool shifted;               /* since the token before: what was dropped is forgotten */
    uint64_t hash;              /* edgellm_hash_logits(), from the first on */
    float logprob;              /* with logprobs: the token's */
    const edgellm_logprob *top; /* (top_logprobs, or vocab if less) the largest logit first, of
                                   equal ones the smaller id; valid until the next turn */
    /* NULL: none; (dim) the state of the last token behind the output norm, divided by its
     * Euclidean length; valid until the next turn */
    const float *embedding;
} edgellm_event;

typedef struct edgellm_turn {
    uint32_t prompt_tokens; /* of a prompt that were computed; */
    uint32_t steps;         /* or steps of so many answers; both 0: there was nothing to compute */
    double forecast_ns;     /* what that was expected to take */
    uint32_t n_events;
    edgellm_event events[EDGELLM_SCHEDULER_SLOTS]; /* (n_events), one of a request at most */
} edgellm_turn;

/* Does one action: the next part of a prompt or the next pass. Answers whose next token would come
 * too late are ended first. Errors: FORMAT (the logits overflow: the requests of that action have
 * FAILED; *turn is filled in then too). */
EDGELLM_API edgellm_status edgellm_scheduler_turn(edgellm_scheduler *scheduler, edgellm_turn *turn,
                                                  edgellm_error *err);

/* For how many nanoseconds something else may compute now, so that every promise still holds then:
 * INFINITY: there is none. *next_ns: forecast of the next turn (0: nothing to do); may be NULL. */
EDGELLM_API double edgellm_scheduler_slack(const edgellm_scheduler *scheduler, double *next_ns);

typedef struct edgellm_slot {
    edgellm_session *session; /* to look at; while the slot is free also to save, load, truncate */
    uint64_t id;              /* of the request that has it; 0: it is free */
    uint32_t held;            /* tokens that its last request did not compute: they were there */
} edgellm_slot;

/* Slot `number` (0, 1, ...) as it is between two turns; false past the last. */
EDGELLM_API bool edgellm_scheduler_slot(const edgellm_scheduler *scheduler, uint32_t number,
                                        edgellm_slot *slot);

/* ---- session files --------------------------------------------------------------------- */

/* Saves a session (docs/SESSION.md): tokens, KV cache, logits, the sampler's options and state, and
 * `note_bytes` bytes of the caller's own (note: NULL if 0). The size grows with the position alone.
 * The file appears whole or not at all, in place of whatever had its name. Not part of the token
 * path. Errors: IO, MEMORY, FORMAT (infinities in the KV cache: the weights are damaged). */
EDGELLM_API edgellm_status edgellm_session_save(const edgellm_session *session, const char *path,
                                                const void *note, size_t note_bytes,
                                                edgellm_error *err);

/* Takes a saved session up again, in place of what `session` holds. What follows (logits, hash,
 * draws) is bit-identical to never having stopped, on any instruction set, with any number of
 * threads, batch and context that the tokens fit into. The whole file is checked first: after an
 * error the session is as it was. Not part of the token path. Errors: IO; MEMORY (no room for the
 * file); FORMAT (damaged, or no session file); UNSUPPORTED (another version); USAGE (of another
 * model file, or of the other of exact and int8 mode); CONTEXT (too many tokens). */
EDGELLM_API edgellm_status edgellm_session_load(edgellm_session *session, const char *path,
                                                edgellm_error *err);

/* The first `position` tokens of a session as a file of their own, without sampler and logits: what
 * many conversations begin with, a system message say, is computed once and loaded from then on.
 * Nothing of the session changes. Errors: as edgellm_session_save(); USAGE (not as many tokens). */
EDGELLM_API edgellm_status edgellm_session_save_prefix(const edgellm_session *session,
                                                       uint32_t position, const char *path,
                                                       const void *note, size_t note_bytes,
                                                       edgellm_error *err);

/* Takes such a file in place of what `session` holds, if it has these `count` tokens and this note,
 * byte for byte; a note that names what the bits depend on (edgellm_version()) keeps files of other
 * versions out. The sampler stays. What follows is bit-identical to having computed the tokens; the
 * logits come with the next eval. Errors: as edgellm_session_load(); USAGE (other tokens or note).
 */
EDGELLM_API edgellm_status edgellm_session_load_prefix(edgellm_session *session, const char *path,
                                                       const uint32_t *tokens, uint32_t count,
                                                       const void *note, size_t note_bytes,
                                                       edgellm_error *err);

/* The note in a session file, by itself: room for `capacity` bytes (NULL with 0 only counts). *len:
 * how many bytes it has, also when that is more than `capacity` (then the first `capacity` are
 * stored, and the status is OK). Header and checksums are checked, values are not. Errors: IO,
 * MEMORY, FORMAT, UNSUPPORTED. Thread-safe. */
EDGELLM_API edgellm_status edgellm_session_note(const char *path, void *note, size_t capacity,
                                                size_t *len, edgellm_error *err);

#ifdef __cplusplus
}
#endif

#endif
