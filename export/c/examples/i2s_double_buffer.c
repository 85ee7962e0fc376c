/* Firmware with a microphone: DMA fills one half of a buffer while the model takes in the other half.

   A window's network runs inside model_push_int16, so a half has to last longer than that: README.md says how
   to find out how long it takes, and has notes on single chips. */
#include "i2s_double_buffer.h"

#include "model.h"

#ifndef HALF
#define HALF MODEL_HOP_SAMPLES /* samples */
#endif

volatile uint32_t i2s_overruns;

static int16_t samples[2][HALF];
static volatile uint32_t filled; /* halves since the start; only the interrupt writes it */

void i2s_half_is_full(void)
{
    filled++;
}

int main(void)
{
    uint32_t taken = 0;
    model_init();
    model_reset();
    i2s_start(samples[0], 2 * HALF);
    for (;;) {
        /* To sleep here, mask interrupts, look at `filled` again, __WFI(), and unmask them. */
        while (filled == taken)
            ;
        int windows = model_push_int16(samples[taken % 2], HALF);
        if (filled - taken > 1) { /* the DMA has begun to fill this half again */
            i2s_overruns++;
            model_reset();
            taken = filled;
            continue;
        }
        taken++;
        if (windows)
            on_scores(model_scores());
    }
}
