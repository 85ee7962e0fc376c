/* What the shared library has for programs that load it: see runtime/model/native_session.py. */
#ifndef MODEL_LIBRARY_H
#define MODEL_LIBRARY_H

#include "model_config.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows where a function here or in model.h changes its meaning. */
MODEL_API int model_interface(void);

/* Bytes of a workspace. */
MODEL_API size_t model_workspace_bytes(void);

/* `count` windows, one after the other; the rest as model_run. */
MODEL_API void model_run_batch(const float *log_mels, long count, float *logits, void *workspace);

/* `count` samples after pre-emphasis, as model_columns takes them; in fixed point rounded to 16 bits before it,
   with 23 bits after the point. It reads one sample more where the front end has a pre-emphasis. */
MODEL_API void model_emphasize(const float *samples, long count, float *out);

#ifdef __cplusplus
}
#endif

#endif
