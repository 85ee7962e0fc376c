/* The front end and the stream against the numpy reference of the exporter: included by the self-tests. */
#ifndef TS_SELF_TEST_H
#define TS_SELF_TEST_H

#include "model.h"
#include "model_self_test.h"
#include "ts_front_end.h"

#include <string.h>

/* In float32, numpy's FFT and logarithm round in other places: a band of the normalised log-mel may differ by so
   much. Inputs of the network near a tie are rounded otherwise then, so a logit may differ by
   model_self_test_steps of its steps. In fixed point all are equal. */
#define TS_BAND_TOLERANCE 0.001f

#if MODEL_FIXED_POINT
extern const uint8_t model_self_test_column[MODEL_N_MELS];
#else
extern const float model_self_test_column[MODEL_N_MELS];
#endif
extern const uint8_t model_self_test_window[MODEL_CLASSES], model_self_test_steps[1];

/* Noise whose loudness goes down three times in a window. */
static int16_t ts_fading_noise(uint32_t *state, int32_t place)
{
    *state = *state * 1664525u + 1013904223u;
    return (int16_t)((int16_t)(*state >> 16) >> ((int64_t)place * 4 / MODEL_SAMPLES));
}

/* Whether a column of the log-mel of noise is the expected one; workspace: MODEL_WORKSPACE bytes. */
static int ts_column_is_right(void *workspace)
{
    uint32_t state = 1;
    int16_t sample = ts_fading_noise(&state, 0);
#if MODEL_FIXED_POINT
    uint8_t bands[MODEL_N_MELS];
    ts_bin *work = (ts_bin *)workspace;
#else
    static float samples[MODEL_WIN_LENGTH], bands[MODEL_N_MELS];
#endif
    for (int32_t i = 0; i < MODEL_WIN_LENGTH; i++) {
        int16_t next = ts_fading_noise(&state, i + 1);
#if MODEL_FIXED_POINT
        work[i / 2].part[i % 2] = ts_emphasize(sample, next);
#elif MODEL_PREEMPHASIS
        samples[i] = (float)next / 32768.0f - MODEL_PREEMPHASIS_FACTOR * ((float)sample / 32768.0f);
#else
        samples[i] = (float)sample / 32768.0f;
#endif
        sample = next;
    }
#if MODEL_FIXED_POINT
    ts_bands(work, bands);
    return !memcmp(bands, model_self_test_column, sizeof bands);
#else
    model_columns(samples, 0, 1, bands, 1, workspace);
    for (int band = 0; band < MODEL_N_MELS; band++) {
        float difference = bands[band] - model_self_test_column[band];
        if (!(difference <= TS_BAND_TOLERANCE && difference >= -TS_BAND_TOLERANCE)) /* so that NaN is wrong */
            return 0;
    }
    return 1;
#endif
}

#if MODEL_STREAM
/* Whether the logits of a window of noise, pushed in chunks, are the expected ones. */
static int ts_window_is_right(void)
{
    int16_t chunk[97];
    uint32_t state = 1;
    int windows = 0, right = 1;
    model_reset();
    for (int32_t place = 0; place < MODEL_SAMPLES;) {
        size_t count = 0;
        for (; count < 97 && place < MODEL_SAMPLES; count++, place++)
            chunk[count] = ts_fading_noise(&state, place);
        windows += model_push_int16(chunk, count);
    }
    for (int i = 0; i < MODEL_CLASSES; i++) {
        int steps = model_logits()[i] - model_self_test_window[i];
        right &= steps <= model_self_test_steps[0] && steps >= -model_self_test_steps[0];
    }
    return right && windows == 1;
}
#endif

#endif
