/* Convolutions for the DSP instructions of Cortex-M4, M7 and M33, two products of 16 bits an instruction, and
   for the vectors of Helium (MVE) of Cortex-M55, eight of them.

   ts_portable.c includes this file in place of its own three functions; their arithmetic is the same. */
#ifndef TS_CORTEX_M_H
#define TS_CORTEX_M_H

#include "ts_network.h"

#include <arm_acle.h>
#include <string.h>
#if TS_HELIUM
#include <arm_mve.h>
#endif

#define TS_INLINE static inline __attribute__((always_inline))

TS_INLINE uint32_t four_bytes(const void *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, 4); /* one load, aligned or not */
    return word;
}

/* Bytes 0 and 2 of a word as halves of 16 bits. */
TS_INLINE int16x2_t even(uint32_t activations)
{
    return (int16x2_t)__uxtb16((uint8x4_t)activations);
}

TS_INLINE int16x2_t even_weights(uint32_t weights)
{
    return __sxtb16((int8x4_t)weights);
}

/* Bytes 1 and 3; compilers have no function for the rotation inside the instruction. */
TS_INLINE int16x2_t odd(uint32_t activations)
{
    int16x2_t halves;
    __asm__("uxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(activations));
    return halves;
}

TS_INLINE int16x2_t odd_weights(uint32_t weights)
{
    int16x2_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(weights));
    return halves;
}

/* What requantization reads: a result may lie anywhere, so the compiler would read it anew for each of them. */
typedef struct {
    const int32_t *multiplier;
    const uint8_t *shift;
    int32_t zero, low;
} ts_results;

TS_INLINE ts_results results_of(const ts_convolution *conv)
{
    ts_results results = {conv->multiplier, conv->shift, conv->zero_out, conv->low};
    return results;
}

TS_INLINE int32_t requantize(ts_results results, int32_t multiplier, uint8_t shift, int32_t accumulator)
{
    int32_t value = shift > 32 ? ts_scale_high(accumulator, multiplier, shift)
                               : ts_scale(accumulator, multiplier, shift);
    value = (int32_t)__usat(value + results.zero, 8); /* the greatest integer is always 255 */
    return value < results.low ? results.low : value;
}

TS_INLINE void store(ts_results results, int32_t channel, int32_t accumulator, uint8_t *out)
{
    out[channel] = (uint8_t)requantize(results, results.multiplier[channel], results.shift[channel], accumulator);
}

/* The same channel of two positions. */
TS_INLINE void store_two(ts_results results, int32_t channel, int32_t first_sum, int32_t second_sum,
                         uint8_t *first, uint8_t *second)
{
    int32_t multiplier = results.multiplier[channel];
    uint8_t shift = results.shift[channel];
    int32_t one = requantize(results, multiplier, shift, first_sum);
    int32_t two = requantize(results, multiplier, shift, second_sum);
    first[channel] = (uint8_t)one;
    second[channel] = (uint8_t)two;
}

/* Sums of two positions and two channels. */
typedef struct {
    int32_t first_low, first_high, second_low, second_high;
} ts_sums;

/* sums += rows of activations * rows of weights. */
#if TS_HELIUM
TS_INLINE ts_sums multiply(ts_sums sums, const uint8_t *first, const uint8_t *second, const int8_t *low,
                           const int8_t *high, int32_t count)
{
    for (; count > 0; count -= 8, first += 8, second += 8, low += 8, high += 8) {
        mve_pred16_t inside = vctp16q((uint32_t)count); /* the other lanes are not read, and are 0 */
        int16x8_t x = (int16x8_t)vldrbq_z_u16(first, inside), y = (int16x8_t)vldrbq_z_u16(second, inside);
        int16x8_t v = vldrbq_z_s16(low, inside), w = vldrbq_z_s16(high, inside);
        sums.first_low = vmladavaq_s16(sums.first_low, x, v);
        sums.first_high = vmladavaq_s16(sums.first_high, x, w);
        sums.second_low = vmladavaq_s16(sums.second_low, y, v);
        sums.second_high = vmladavaq_s16(sums.second_high, y, w);
    }
    return sums;
}
#else
TS_INLINE ts_sums multiply(ts_sums sums, const uint8_t *first, const uint8_t *second, const int8_t *low,
                           const int8_t *high, int32_t count)
{
    const uint8_t *end = first + (count & ~3);
    while (first < end) {
        uint32_t x = four_bytes(first), y = four_bytes(second), v = four_bytes(low), w = four_bytes(high);
        int16x2_t even_v = even_weights(v), odd_v = odd_weights(v);
        int16x2_t even_w = even_weights(w), odd_w = odd_weights(w);
        int16x2_t even_x = even(x), odd_x = odd(x), even_y = even(y), odd_y = odd(y);
        sums.first_low = __smlad(odd_x, odd_v, __smlad(even_x, even_v, sums.first_low));
        sums.first_high = __smlad(odd_x, odd_w, __smlad(even_x, even_w, sums.first_high));
        sums.second_low = __smlad(odd_y, odd_v, __smlad(even_y, even_v, sums.second_low));
        sums.second_high = __smlad(odd_y, odd_w, __smlad(even_y, even_w, sums.second_high));
        first += 4, second += 4, low += 4, high += 4;
    }
    for (int32_t i = 0; i < (count & 3); i++) {
        sums.first_low += first[i] * low[i];
        sums.first_high += first[i] * high[i];
        sums.second_low += second[i] * low[i];
        sums.second_high += second[i] * high[i];
    }
    return sums;
}

#endif

/* Two positions, from rows of `run` activations that lie `step` apart; they may be the same one. */
TS_INLINE void two_positions(const ts_convolution *conv, const uint8_t *const *rows, int32_t height,
                             int32_t offset, int32_t step, int32_t run, uint8_t *first, uint8_t *second)
{
    int32_t outputs = conv->out.channels;
    ts_results results = results_of(conv);
    const int32_t *bias = conv->bias;
    const int8_t *weight = conv->weight;
    for (int32_t channel = 0; channel < outputs; channel += 2) {
        int32_t other = channel + 1 < outputs ? channel + 1 : channel;
        const int8_t *high = other > channel ? weight + (size_t)height * run : weight;
        ts_sums sums = {bias[channel], bias[other], bias[channel], bias[other]};
        for (int32_t row = 0; row < height; row++, weight += run, high += run)
            sums = multiply(sums, rows[row] + offset, rows[row] + offset + step, weight, high, run);
        weight = high;
        store_two(results, channel, sums.first_low, sums.second_low, first, second);
        store_two(results, other, sums.first_high, sums.second_high, first, second);
    }
}

static void pointwise(const ts_convolution *conv, const uint8_t *in, uint8_t *out, int32_t positions)
{
    int32_t inputs = conv->in.channels, outputs = conv->out.channels;
    for (; positions > 0; positions -= 2, in += 2 * inputs, out += 2 * outputs) {
        int both = positions > 1;
        two_positions(conv, &in, 1, 0, both ? inputs : 0, inputs, out, both ? out + outputs : out);
    }
}

/* One row of a dense convolution from padded rows. */
static void dense_row(const ts_convolution *conv, const uint8_t *const *rows, uint8_t *out)
{
    int32_t inputs = conv->in.channels, outputs = conv->out.channels;
    int32_t run = conv->kernel_width * inputs, step = conv->along * inputs;
    for (int32_t x = 0; x < conv->out.width; x += 2, out += 2 * outputs) {
        int both = x + 1 < conv->out.width;
        two_positions(conv, rows, conv->kernel_height, x * step, both ? step : 0, run, out,
                      both ? out + outputs : out);
    }
}

/* Four channels of one position of a depthwise convolution. */
TS_INLINE void four_channels(const ts_convolution *conv, const uint8_t *const *rows, int32_t offset,
                             int32_t channel, ts_results results, uint8_t *out)
{
    int32_t channels = conv->out.channels;
    const int32_t *bias = conv->bias + channel;
    const int8_t *weight = conv->weight + channel;
    int32_t a = bias[0], b = bias[1], c = bias[2], d = bias[3];
    for (int32_t row = 0; row < conv->kernel_height; row++) {
        const uint8_t *in = rows[row] + offset + channel;
        for (int32_t column = 0; column < conv->kernel_width; column++, in += channels, weight += channels) {
            uint32_t x = four_bytes(in), w = four_bytes(weight);
            int32_t even_x = even(x), odd_x = odd(x), even_w = even_weights(w), odd_w = odd_weights(w);
            a = __smlabb(even_x, even_w, a);
            b = __smlabb(odd_x, odd_w, b);
            c = __smlatt(even_x, even_w, c);
            d = __smlatt(odd_x, odd_w, d);
        }
    }
    store(results, channel, a, out);
    store(results, channel + 1, b, out);
    store(results, channel + 2, c, out);
    store(results, channel + 3, d, out);
}

#if TS_HELIUM
/* scale() of four accumulators whose shifts are above 32, as ts_scale_high: the halving addition rounds. */
TS_INLINE int32x4_t scale_four(int32x4_t accumulators, int32x4_t multipliers, uint32x4_t shifts)
{
    int32x4_t high = vmulhq_s32(accumulators, multipliers);
    high = vshlq_s32(high, vsubq_s32(vdupq_n_s32(33), (int32x4_t)shifts));
    return vrhaddq_s32(high, vdupq_n_s32(0));
}

/* Up to eight channels of one position of a depthwise convolution, whose shifts are all above 32. */
TS_INLINE void eight_channels(const ts_convolution *conv, const uint8_t *const *rows, int32_t offset,
                              int32_t channel, int32x4x2_t bias, int32x4x2_t multipliers, uint16x8_t shifts,
                              mve_pred16_t inside, uint8_t *out)
{
    const int32_t channels = conv->out.channels;
    const int8_t *weight = conv->weight + channel;
    int32x4_t even_sums = bias.val[0], odd_sums = bias.val[1];
    for (int32_t row = 0; row < conv->kernel_height; row++) {
        const uint8_t *in = rows[row] + offset + channel;
        for (int32_t column = 0; column < conv->kernel_width; column++, in += channels, weight += channels) {
            int16x8_t x = (int16x8_t)vldrbq_z_u16(in, inside), w = vldrbq_z_s16(weight, inside);
            even_sums = vaddq_s32(even_sums, vmullbq_int_s16(x, w));
            odd_sums = vaddq_s32(odd_sums, vmulltq_int_s16(x, w));
        }
    }
    int32x4_t even = scale_four(even_sums, multipliers.val[0], vmovlbq_u16(shifts));
    int32x4_t odd = scale_four(odd_sums, multipliers.val[1], vmovltq_u16(shifts));
    int16x8_t values = vqmovntq_s32(vqmovnbq_s32(vdupq_n_s16(0), even), odd);
    values = vqaddq_n_s16(values, conv->zero_out);
    values = vminq_s16(vmaxq_s16(values, vdupq_n_s16(conv->low)), vdupq_n_s16(conv->high));
    vstrbq_p_s16((int8_t *)out + channel, values, inside);
}

/* One row of a depthwise convolution, eight channels after the other; 0 where a shift is 32 or less. */
static int depthwise_vectors(const ts_convolution *conv, const uint8_t *const *rows, uint8_t *out)
{
    const int32_t channels = conv->out.channels, step = conv->along * channels;
    for (int32_t c = 0; c < channels; c++)
        if (conv->shift[c] <= 32)
            return 0;
    for (int32_t c = 0; c < channels; c += 8) {
        int32_t bias[8] = {0}, multiplier[8] = {0}, count = channels - c < 8 ? channels - c : 8;
        mve_pred16_t inside = vctp16q((uint32_t)count);
        memcpy(bias, conv->bias + c, (size_t)count * sizeof *bias);
        memcpy(multiplier, conv->multiplier + c, (size_t)count * sizeof *multiplier);
        int32x4x2_t biases = vld2q_s32(bias), multipliers = vld2q_s32(multiplier);
        uint16x8_t shifts = vldrbq_z_u16(conv->shift + c, inside);
        for (int32_t x = 0; x < conv->out.width; x++)
            eight_channels(conv, rows, x * step, c, biases, multipliers, shifts, inside, out + x * channels);
    }
    return 1;
}
#endif

/* One row of a depthwise convolution from padded rows. */
static void depthwise_row(const ts_convolution *conv, const uint8_t *const *rows, uint8_t *out)
{
    int32_t channels = conv->out.channels, whole = channels & ~3;
    ts_results results = results_of(conv);
#if TS_HELIUM
    if (depthwise_vectors(conv, rows, out))
        return;
#endif
    for (int32_t x = 0; x < conv->out.width; x++, out += channels) {
        int32_t offset = x * conv->along * channels;
        for (int32_t c = 0; c < whole; c += 4)
            four_channels(conv, rows, offset, c, results, out);
        for (int32_t c = whole; c < channels; c++) {
            const int8_t *weight = conv->weight + c;
            int32_t sum = conv->bias[c];
            for (int32_t row = 0; row < conv->kernel_height; row++)
                for (int32_t column = 0; column < conv->kernel_width; column++, weight += channels)
                    sum += rows[row][offset + column * channels + c] * *weight;
            store(results, c, sum, out);
        }
    }
}

#endif
