/* The self-test vectors of the model: inputs in 64ths, and the integers of the logits. */
#ifndef MODEL_SELF_TEST_H
#define MODEL_SELF_TEST_H

#include "model_config.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const int16_t *log_mel; /* [MODEL_N_MELS][MODEL_FRAMES] */
    const uint8_t *logits;  /* [MODEL_CLASSES] */
} model_self_test_vector;

extern const model_self_test_vector model_self_test_vectors[];
extern const int model_self_test_count;

#ifdef __cplusplus
}
#endif

#endif
