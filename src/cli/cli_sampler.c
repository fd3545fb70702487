#include "cli/cli_sampler.h"

#include <sys/random.h>

#define SEED_RANDOM UINT64_MAX /* cannot be typed as a number: those end at 2^53-1 */

const el_cli_choice el_cli_seed_words[] = {{"random", SEED_RANDOM}, {NULL, 0}};

static edgellm_status draw_seed(uint64_t *seed, edgellm_error *err)
{
    uint32_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "no random seed to be had: give one with -s");
    }
    *seed = random;
    return EDGELLM_OK;
}

edgellm_status el_cli_sampler_set(const el_cli_sampler_values *values, edgellm_session *session,
                                  uint64_t *seed, edgellm_error *err)
{
    edgellm_sampler_options options = values->options;
    if (options.seed == SEED_RANDOM) EL_CLI_TRY(draw_seed(&options.seed, err));
    *seed = options.seed;
    return edgellm_session_set_sampler(session, &options, err);
}
