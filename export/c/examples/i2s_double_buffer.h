/* What a board brings to i2s_double_buffer.c, and calls in it. */
#ifndef I2S_DOUBLE_BUFFER_H
#define I2S_DOUBLE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

/* The board's: start the microphone, MODEL_SAMPLE_RATE Hz, mono, 16 bits, by DMA into `samples` over and over. */
void i2s_start(int16_t *samples, size_t count);

/* The board's: called with the scores of every window; they mean nothing where model_has_signal() is 0. */
void on_scores(const float *scores);

/* For the microphone's interrupts: call it once for each half of the samples that is full. */
void i2s_half_is_full(void);

/* Times that samples were lost, because a window took longer than half of the buffer lasts. */
extern volatile uint32_t i2s_overruns;

#endif
