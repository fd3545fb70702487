/*
 * calibrate_text.h: a writer lets the model write, through the public interface, sequences of
 * tokens for its own calibration: conversations, and texts that go on from an opening or from
 * random words, some of them with line ends of two bytes, some with an odd word that comes again
 * and again. Each sequence depends on the model, the seed and its number, and on nothing that was
 * written before.
 */
#ifndef EL_OFFLINE_CALIBRATE_TEXT_H
#define EL_OFFLINE_CALIBRATE_TEXT_H

#include "offline/calibrate_together.h"

#define EL_WRITER_ODD_MAX 4 /* tokens */

typedef struct el_writer {
    const edgellm_engine *engine;
    edgellm_session *session; /* one thread, a context of `length` */
    uint32_t vocab, length;
    uint32_t separator;           /* the first token that ends a text; EL_TOKEN_NONE */
    size_t closing;               /* tokens that end a turn; 0: the model knows no conversations */
    uint32_t turn_end;            /* the first of those */
    bool (*go_on)(void *context); /* asked now and then; false: stop (INTERRUPTED) */
    void *go_on_context;
    el_together *together; /* who decodes with it */

    /* the text under way */
    uint32_t *tokens;     /* (length + closing) */
    uint32_t count, room; /* count may pass room by what was laid out at once */
    uint32_t end;         /* the token that ended it, or EL_TOKEN_NONE */
    uint32_t stale;       /* grows with every token that only repeats, shrinks with others */
    uint32_t fresh;       /* tokens when it was last 0 */
    uint32_t odd[EL_WRITER_ODD_MAX]; /* the odd word of this text */
    uint32_t odd_tokens, odd_next;   /* 0: it has none; count at which it is put next */
    uint64_t random;
} el_writer;

/* After a failure too, el_writer_close() releases what there is. */
edgellm_status el_writer_open(el_writer *w, const edgellm_engine *engine, uint32_t length,
                              edgellm_error *err);
void el_writer_close(el_writer *w);

/* Fills tokens (length) with texts, one after another. */
edgellm_status el_writer_sequence(el_writer *w, uint64_t seed, uint32_t number, uint32_t *tokens,
                                  edgellm_error *err);

#endif
