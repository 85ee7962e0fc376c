/* Runs the self-test vectors with every kind of kernels of this machine; exit code 0 where all are right. */
#include "model.h"
#include "model_self_test.h"

#include <stdio.h>

static float log_mel[MODEL_N_MELS * MODEL_FRAMES];
static union {
    uint8_t bytes[MODEL_WORKSPACE];
    float aligned;
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

int main(void)
{
    static const char *const names[] = {"portable C", "AVX2", "AVX-512 VNNI"};
    int failed = 0;
    model_init();
    for (int kind = 0; kind < 3; kind++) {
        if (!model_use(names[kind]))
            continue;
        for (int i = 0; i < model_self_test_count; i++) {
            int wrong = failures(&model_self_test_vectors[i]);
            printf("%s, vector %d: %s\n", names[kind], i + 1, wrong ? "FAIL" : "PASS");
            failed |= wrong;
        }
    }
    return failed ? 1 : 0;
}
