/* Runs the self-test vectors with every kind of kernels of this machine; exit code 0 where all are right. */
#include "model.h"
#include "model_self_test.h"
#include "ts_self_test.h"

#include <stdio.h>
#include <string.h>

static float log_mel[MODEL_N_MELS * (MODEL_FRAMES > 7 ? MODEL_FRAMES : 7)];
static union {
    uint8_t bytes[MODEL_WORKSPACE];
    int64_t aligned;
} workspace;

static int failures(const model_self_test_vector *vector)
{
    float logits[MODEL_CLASSES];
    int count = 0;
    for (int i = 0; i < MODEL_N_MELS * MODEL_FRAMES; i++)
        log_mel[i] = (float)vector->log_mel[i] / 64.0f;
    model_run(log_mel, logits, workspace.bytes);
    for (int i = 0; i < MODEL_CLASSES; i++)
        count += logits[i] != (float)(vector->logits[i] - MODEL_OUTPUT_ZERO) * MODEL_OUTPUT_SCALE;
    return count;
}

#if TS_SIMD && !MODEL_FIXED_POINT
#define FRAMES 7 /* some computed side by side, some not */

/* Whether the log-mels of some noise have the bits that portable C gives them. */
static int differs(const char *name)
{
    static float samples[MODEL_WIN_LENGTH + FRAMES * 3], expected[MODEL_N_MELS * FRAMES];
    uint32_t state = 1;
    for (int i = 0; i < MODEL_WIN_LENGTH + FRAMES * 3; i++) {
        state = 1664525u * state + 1013904223u;
        samples[i] = (float)(state >> 16) / 65536.0f - 0.5f;
    }
    model_use("portable C");
    model_columns(samples, 3, FRAMES, expected, FRAMES, workspace.bytes);
    model_use(name);
    model_columns(samples, 3, FRAMES, log_mel, FRAMES, workspace.bytes);
    return memcmp(log_mel, expected, sizeof expected) != 0;
}
#endif

int main(void)
{
    static const char *const names[] = {"portable C", "AVX2", "AVX-512 VNNI", "NEON", "NEON dot product"};
    int failed = 0;
    model_init();
    for (int kind = 0; kind < (int)(sizeof names / sizeof *names); kind++) {
        if (!model_use(names[kind]))
            continue;
        for (int i = 0; i < model_self_test_count; i++) {
            int wrong = failures(&model_self_test_vectors[i]);
            printf("%s, vector %d: %s\n", names[kind], i + 1, wrong ? "FAIL" : "PASS");
            failed |= wrong;
        }
        int right = ts_column_is_right(workspace.bytes);
#if TS_SIMD && !MODEL_FIXED_POINT
        right &= !differs(names[kind]);
#endif
        printf("%s, log-mel: %s\n", names[kind], right ? "PASS" : "FAIL");
        failed |= !right;
#if MODEL_STREAM
        right = ts_window_is_right();
        printf("%s, window of samples: %s\n", names[kind], right ? "PASS" : "FAIL");
        failed |= !right;
#endif
    }
    return failed ? 1 : 0;
}
