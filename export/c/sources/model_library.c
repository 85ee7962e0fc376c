#include "model_library.h"

#include "model.h"
#include "ts_front_end.h"

int model_interface(void)
{
    return 1;
}

size_t model_workspace_bytes(void)
{
    return MODEL_WORKSPACE + (MODEL_N_MELS + 1) * sizeof(float);
}

void model_run_batch(const float *log_mels, long count, float *logits, void *workspace)
{
    for (long i = 0; i < count; i++)
        model_run(log_mels + i * MODEL_N_MELS * MODEL_FRAMES, logits + i * MODEL_CLASSES, workspace);
}

void model_emphasize(const float *restrict samples, long count, float *restrict out)
{
    for (long i = 0; i < count; i++)
#if MODEL_FIXED_POINT
        out[i] = (float)ts_emphasize(ts_sample_of(samples[i]), ts_sample_of(samples[i + MODEL_PREEMPHASIS])) /
                 (float)(1 << TS_SAMPLE_BITS);
#elif MODEL_PREEMPHASIS
        out[i] = samples[i + 1] - MODEL_PREEMPHASIS_FACTOR * samples[i];
#else
        out[i] = samples[i];
#endif
}
