/* The log-mel of one frame in integers: window, real FFT, sparse mel filter bank, logarithm, quantization.

   ARITHMETIC.md of the exporter writes every operation down. No operation here is one of floating point, those
   that take or give floats included: they read and write the bits of a float as integers. */
#ifndef TS_FRONT_END_H
#define TS_FRONT_END_H

#include "model_config.h"

#include <stdint.h>

#define TS_POINTS (MODEL_N_FFT / 2) /* of the complex FFT */
#define TS_SAMPLE_BITS 23           /* after the point, of a sample after pre-emphasis */

extern const int32_t model_window[MODEL_WIN_LENGTH];    /* 30 bits after the point */
extern const int32_t model_cosine[MODEL_N_FFT / 4 + 1]; /* cos(2 pi k / n_fft), 31 bits after the point */
extern const uint16_t model_mel_first[MODEL_N_MELS];    /* bin that a band begins with */
extern const uint16_t model_mel_count[MODEL_N_MELS];    /* bins of it */
extern const uint16_t model_mel_weight[];
extern const int32_t model_log2[65]; /* log2(1 + i / 64), 16 bits after the point */

/* A complex number of the FFT, two samples before it, the power of a bin after it. */
typedef union {
    int32_t part[2];
    uint64_t power;
} ts_bin;

#define TS_BINS (2 * (TS_POINTS + 1))

typedef int16_t ts_sample;
typedef uint32_t ts_score;
typedef ts_bin ts_front_end_work[TS_BINS];

/* Samples in the parts of the first bins, MODEL_WIN_LENGTH of them after pre-emphasis, to the integers of the
   network's input, MODEL_N_MELS; work: TS_BINS. */
void ts_bands(ts_bin *work, uint8_t *bands);

/* A sample of the stream after pre-emphasis, from it and the next one. */
static inline int32_t ts_emphasize(int16_t sample, int16_t next)
{
#if MODEL_PREEMPHASIS
    return (int32_t)next * 256 - ((MODEL_PREEMPHASIS_Q15 * (int32_t)sample + 64) >> 7);
#else
    (void)next;
    return (int32_t)sample * 256;
#endif
}

/* The nearest integer to 2^bits * x, halves away from zero; the greatest and least int32 beyond it, 0 for NaN
   and infinities. */
int32_t ts_integer_of(float x, int bits);

static inline int16_t ts_sample_of(float x)
{
    int32_t sample = ts_integer_of(x, 15);
    return (int16_t)(sample > 32767 ? 32767 : sample < -32768 ? -32768 : sample);
}

/* The nearest float to value / 2^31. */
float ts_float_of_q31(uint32_t value);

#endif
