/*
 * compress.h: a GGUF file to a small TM2 file, calibrated: rounding that knows the inputs of every
 * matrix, then training against the source (docs/QUANTISATION.md). Needs several times the memory
 * and time of el_quantize(). The same source and options give the same file for any number of
 * threads on one kind of CPU.
 */
#ifndef EL_TRAIN_COMPRESS_H
#define EL_TRAIN_COMPRESS_H

#include "format/gguf.h"
#include "format/tm2.h"
#include "train/quality.h"

/* Bits for the matrices whose name matches: 2, 3, 4, 8. The last rule that matches counts. */
typedef struct el_compress_rule {
    const char *pattern; /* POSIX extended regular expression, found anywhere in the name */
    unsigned bits;
} el_compress_rule;

typedef struct el_compress_options {
    uint64_t fit;            /* bytes that the file may have; 0: bits as below */
    unsigned bits;           /* of every matrix without a rule, if fit is 0: 2, 3, 4, 8 */
    unsigned embedding_bits; /* of the token embedding and the head; 0: as the others */
    uint32_t group;          /* weights that share a scale: 32, 64, 128, 0 (the row) */
    uint32_t embedding_group;
    bool offset;                   /* an offset beside each scale; if fit is 0 */
    bool even;                     /* no chained codes */
    const el_compress_rule *rules; /* (n_rules) */
    uint32_t n_rules;

    const char *calibration; /* a text file; NULL: the model writes its own */
    uint32_t sequences;      /* 1 .. 65536: of calibration text */
    uint32_t length;         /* tokens of each */
    uint32_t epochs;         /* of training layer by layer; 0: none */
    uint32_t steps;          /* of training as a whole; 0: none */
    double rate;             /* what a weight moves in one of them at most, about, in codes;
                                0: EL_COMPRESS_RATE */
    uint64_t seed;
    unsigned threads; /* 0: all cores, at most 64 */
    bool resume;      /* go on with an unfinished run */
    double keep;      /* seconds between states of the training that are kept; 0: 600 */
    double max_kl;    /* above it a file is ruined; 0: EL_COMPRESS_RUINED */
    bool force;       /* keep a ruined file too */

    /* Told where the work is; `done` grows from 0 to 1 about evenly in time. Return false to stop
     * (INTERRUPTED): what is finished is kept for `resume`. */
    bool (*progress)(void *context, const char *stage, double done);
    void *progress_context;
    const el_tm2_judge *judge; /* may be NULL; see el_tm2_finish() */
    el_gguf_opener *open;      /* of the source; NULL: el_gguf_open() */
} el_compress_options;

/* A file whose KL is above this many nats a token is ruined: its text falls apart. */
#define EL_COMPRESS_RUINED 2.0
/* For some dozens of steps. */
#define EL_COMPRESS_RATE 0.0004

typedef struct el_compress_result {
    uint64_t source_bytes, file_bytes, parameters;
    uint32_t matrices;
    uint32_t sequences, length; /* of calibration text, without those held out */
    double error_rounded;       /* mean over layers: relative error of the output */
    double error_trained;       /* 0: layers were not trained */
    double kl_first, kl_last;   /* mean of the first and last eighth of the steps */
    el_quality quality;         /* on text held back */
    char kernels[32];           /* OpenBLAS's for this CPU */
} el_compress_result;

/* Errors: as el_quantize(); USAGE (an option out of range, a pattern that is no regular expression
 * or matches nothing, a size that cannot be met); UNSUPPORTED (the file would be ruined: the
 * message says which size would do; nothing is written without `force`). */
edgellm_status el_compress(const char *source, const char *target,
                           const el_compress_options *options, el_compress_result *result,
                           edgellm_error *err);

#endif
