/* Prints a hash of a log-mel and the logits of the windows of a stream, with every kind of kernels. */
#include "model.h"

#include <stdio.h>
#include <string.h>

static uint32_t noise = 1;
static float samples[MODEL_WIN_LENGTH + 3 * MODEL_HOP_LENGTH], log_mel[4 * MODEL_N_MELS];
static int64_t workspace[MODEL_WORKSPACE / 8 + 1];

static int16_t next_sample(void)
{
    noise = noise * 1664525u + 1013904223u;
    return (int16_t)((int16_t)(noise >> 16) >> (noise >> 8 & 3));
}

static void print_log_mel(void)
{
    uint32_t hash = 2166136261u, bits;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        samples[i] = next_sample() / 32768.0f;
    model_columns(samples, MODEL_HOP_LENGTH, 4, log_mel, 4, workspace);
    for (int i = 0; i < 4 * MODEL_N_MELS; i++) {
        memcpy(&bits, &log_mel[i], sizeof bits);
        hash = (hash ^ bits) * 16777619u;
    }
    printf("log-mel %u\n", (unsigned)hash);
}

static void print_stream(void)
{
    int16_t chunk[777];
    model_reset();
    for (int done = 0; done < MODEL_SAMPLES * 3 / 2; done += 777) {
        for (int i = 0; i < 777; i++)
            chunk[i] = next_sample();
        if (!model_push_int16(chunk, 777))
            continue;
        for (int i = 0; i < MODEL_CLASSES; i++)
            printf("%d ", model_logits()[i]);
        printf("\n");
    }
}

int main(int count, char **names)
{
    for (int i = 1; i < count; i++) {
        if (!model_use(names[i]))
            continue;
        noise = 1;
        printf("%s\n", names[i]);
        print_log_mel();
        print_stream();
    }
    return 0;
}
