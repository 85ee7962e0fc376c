/* Bytes of inputs from stdin to bytes of logits on stdout, with the kernels of a name. Scales are 1, so a
   float32 stands for its byte. Leaves with 3 where this machine lacks the kernels. */
#include "model.h"

#include <stdio.h>

static uint8_t bytes[MODEL_N_MELS * MODEL_FRAMES], results[MODEL_CLASSES];
static float log_mel[MODEL_N_MELS * MODEL_FRAMES], logits[MODEL_CLASSES];
static int64_t workspace[MODEL_WORKSPACE / 8 + 1];

int main(int count, char **names)
{
    if (count != 2 || !model_use(names[1]))
        return 3;
    while (fread(bytes, 1, sizeof bytes, stdin) == sizeof bytes) {
        for (size_t i = 0; i < sizeof bytes; i++)
            log_mel[i] = bytes[i];
        model_run(log_mel, logits, workspace);
        for (int i = 0; i < MODEL_CLASSES; i++)
            results[i] = (uint8_t)logits[i];
        fwrite(results, 1, sizeof results, stdout);
    }
    return 0;
}
