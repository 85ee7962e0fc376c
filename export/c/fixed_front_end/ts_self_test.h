/* The front end in integers against the numpy reference of the exporter: included by the self-tests. */
#ifndef TS_SELF_TEST_H
#define TS_SELF_TEST_H

#include "model.h"
#include "model_self_test.h"
#include "ts_front_end.h"

#include <string.h>

extern const uint8_t model_self_test_column[MODEL_N_MELS], model_self_test_window[MODEL_CLASSES];

/* Noise whose loudness goes down three times in a window. */
static int16_t ts_fading_noise(uint32_t *state, int32_t place)
{
    *state = *state * 1664525u + 1013904223u;
    return (int16_t)((int16_t)(*state >> 16) >> ((int64_t)place * 4 / MODEL_SAMPLES));
}

/* Whether a column of the log-mel of noise is the expected one. */
static int ts_column_is_right(ts_bin *work)
{
    uint8_t bands[MODEL_N_MELS];
    uint32_t state = 1;
    int16_t sample = ts_fading_noise(&state, 0);
    for (int32_t i = 0; i < MODEL_WIN_LENGTH; i++) {
        int16_t next = ts_fading_noise(&state, i + 1);
        work[i / 2].part[i % 2] = ts_emphasize(sample, next);
        sample = next;
    }
    ts_bands(work, bands);
    return !memcmp(bands, model_self_test_column, sizeof bands);
}

#if MODEL_STREAM
/* Whether the logits of a window of noise, pushed in chunks, are the expected ones. */
static int ts_window_is_right(void)
{
    int16_t chunk[97];
    uint32_t state = 1;
    int windows = 0;
    model_reset();
    for (int32_t place = 0; place < MODEL_SAMPLES;) {
        size_t count = 0;
        for (; count < 97 && place < MODEL_SAMPLES; count++, place++)
            chunk[count] = ts_fading_noise(&state, place);
        windows += model_push_int16(chunk, count);
    }
    return windows == 1 && !memcmp(model_logits(), model_self_test_window, MODEL_CLASSES);
}
#endif

#endif
