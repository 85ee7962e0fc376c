/* The log-mel of one frame in float32: window, real FFT, sparse mel filter bank, logarithm.

   Every operation is an IEEE float32 operation in a fixed order, without contraction to fused
   multiply-adds (-ffp-contract=off), so every machine gives the same bits. */
#ifndef TS_FRONT_END_H
#define TS_FRONT_END_H

#include "model_config.h"

#include <stdint.h>

#define TS_POINTS (MODEL_N_FFT / 2)     /* of the complex FFT */
#define TS_WORK_FLOATS (4 * TS_POINTS + 16)

extern const float model_window[MODEL_WIN_LENGTH];
extern const float model_twiddle[2 * (TS_POINTS / 4)];    /* exp(-2 pi i k / points): cosines, then sines */
extern const float model_split[2 * (TS_POINTS / 2 + 1)];  /* exp(-2 pi i k / n_fft): cosines, then sines */
extern const uint16_t model_mel_first[MODEL_N_MELS];      /* bin that a band begins with */
extern const uint16_t model_mel_groups[MODEL_N_MELS];     /* bins of it, in groups of 4 */
extern const float model_mel_weight[];

/* One column: MODEL_WIN_LENGTH samples to MODEL_N_MELS normalised log-mels. */
typedef void ts_column(const float *samples, float *log_mel, float *work);
extern ts_column ts_column_portable;

#endif
