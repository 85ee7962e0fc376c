/* A microphone for i2s_double_buffer.c under QEMU: interrupts of SysTick bring noise. Prints the logits of four
   windows; exit code 0 where no samples were lost. */
#include "i2s_double_buffer.h"
#include "model.h"
#include "semihosting.h"

#define SYSTICK ((volatile uint32_t *)0xe000e010)
#ifndef TICKS
#define TICKS 100000 /* of the board's clock from one interrupt to the next */
#endif
#define SAMPLES (MODEL_HOP_SAMPLES / 50) /* that each of them brings */

void tick(void); /* the handler of SysTick, see boot.c */

static int16_t *buffer;
static size_t length, place;
static uint32_t noise = 1;

void i2s_start(int16_t *samples, size_t count)
{
    buffer = samples;
    length = count;
    SYSTICK[1] = TICKS - 1;
    SYSTICK[2] = 0;
    SYSTICK[0] = 7;
}

void tick(void)
{
    if (i2s_overruns) {
        print("overrun\n");
        leave(1);
    }
    for (int i = 0; i < SAMPLES; i++) {
        noise = noise * 1664525u + 1013904223u;
        buffer[place++] = (int16_t)((int16_t)(noise >> 16) >> 2);
        if (place == length / 2 || place == length)
            i2s_half_is_full();
        place %= length;
    }
}

void on_scores(const float *scores)
{
    static int windows;
    (void)scores;
    print("window ");
    print_number((uint64_t)++windows);
    print(":");
    for (int i = 0; i < MODEL_CLASSES; i++) {
        print(" ");
        print_number(model_logits()[i]);
    }
    print("\n");
    if (windows == 4)
        leave(0);
}
