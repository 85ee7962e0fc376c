/* The model in C: from samples to scores.

   Call model_init() once. Then either push samples of one stream as they come, or run single windows with a
   workspace of your own. */
#ifndef MODEL_H
#define MODEL_H

#include "model_config.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

extern MODEL_API const char *const model_labels[MODEL_CLASSES];

/* Choose the kernels of this machine. */
MODEL_API void model_init(void);

/* Choose kernels by name ("portable C", "AVX2", "AVX-512 VNNI", "NEON", "NEON dot product", "Cortex-M DSP",
   "Cortex-M Helium"); 0 where this machine lacks them. */
MODEL_API int model_use(const char *name);

/* The name of the kernels in use. */
MODEL_API const char *model_kernels(void);

/* The network alone: log_mel [MODEL_N_MELS][MODEL_FRAMES], normalised, to logits [MODEL_CLASSES].
   workspace: MODEL_WORKSPACE bytes, aligned for float; threads that share none run at the same time. */
MODEL_API void model_run(const float *log_mel, float *logits, void *workspace);

/* The front end alone: `count` frames of MODEL_WIN_LENGTH samples each, `step` samples apart, to columns of
   log_mel, whose bands lie `row` floats apart. The samples are to be finite, MODEL_MAX_PEAK at most. */
MODEL_API void model_columns(const float *samples, long step, long count, float *log_mel, long row,
                             void *workspace);

/* Windows of MODEL_SAMPLES samples, one every MODEL_HOP_SAMPLES, of one stream at MODEL_SAMPLE_RATE Hz. */
MODEL_API void model_reset(void);

/* Take in samples, any number at a time; returns how many windows ended in them. Float samples have full scale
   at 1: NaN and infinities are taken for 0, and others are limited to MODEL_MAX_PEAK (in fixed point to
   the range of int16). The runtime refuses such audio. */
MODEL_API int model_push(const float *samples, size_t count);
MODEL_API int model_push_int16(const int16_t *samples, size_t count);

/* Of the last window that ended: probabilities, and the integers of the logits. */
MODEL_API const float *model_scores(void);
MODEL_API const uint8_t *model_logits(void);

/* Whether that window holds something to classify: 0 where the RMS of its samples without their mean lies below
   -70 dB of full scale. It has scores all the same, which mean nothing then: the runtime gives such a window no
   label and calls it no_signal. */
MODEL_API int model_has_signal(void);

#if MODEL_FIXED_POINT
/* The probabilities as integers, 31 bits after the point. */
MODEL_API const uint32_t *model_scores_q31(void);
#endif

#ifdef __cplusplus
}
#endif

#endif
