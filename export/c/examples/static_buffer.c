/* Firmware that classifies sound from a buffer in memory. */
#include "model.h"

volatile int best_class; /* -1 for silence; for a debugger, or for what your firmware does with it */

static int16_t buffer[MODEL_HOP_LENGTH];

/* Noise; put in its place what brings your samples: a file in flash, a UART, an ADC. */
static int16_t next_sample(void)
{
    static uint32_t noise = 1;
    noise = noise * 1664525u + 1013904223u;
    return (int16_t)(noise >> 16);
}

int main(void)
{
    model_init();
    model_reset();
    for (;;) {
        for (int i = 0; i < MODEL_HOP_LENGTH; i++)
            buffer[i] = next_sample();
        if (!model_push_int16(buffer, MODEL_HOP_LENGTH))
            continue; /* no window ended in these samples */
        const uint8_t *logits = model_logits(); /* the greatest has the greatest probability, model_scores() */
        int best = 0;
        for (int i = 1; i < MODEL_CLASSES; i++)
            best = logits[i] > logits[best] ? i : best;
        best_class = model_has_signal() ? best : -1;
    }
}
