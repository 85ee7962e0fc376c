/* Runs every convolution, maximum and addition of a network alone on random tensors, with the portable kernels
   and with CMSIS-NN, and prints how many bytes differ. An int8 of CMSIS-NN is a uint8 minus 128. */
#include "model_network.h"

#include "arm_nnfunctions.h"

#include <string.h>

#ifdef __arm__
#include "semihosting.h"
#else
#include <stdio.h>
#define print(text) fputs(text, stdout)
#define print_number(number) printf("%lu", (unsigned long)(number))
#define leave(code) return code
#endif

#define MOST 8192 /* bytes of a tensor */
#define CHANNELS 256
#define TENSORS 50

static uint8_t in[MOST], expected[MOST], scratch[MODEL_ARENA_BYTES + MOST];
static int8_t in_s8[MOST], actual[MOST], buffer[4 * MOST] __attribute__((aligned(8)));
static int32_t bias[CHANNELS], shift[CHANNELS];
static uint32_t noise = 1;

static void fill(uint8_t *bytes, int8_t *less_128, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        noise = noise * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(noise >> 24);
        less_128[i] = (int8_t)(bytes[i] - 128);
    }
}

static int32_t size_of(ts_shape shape)
{
    return shape.height * shape.width * shape.channels;
}

static cmsis_nn_dims dims(int32_t n, int32_t h, int32_t w, int32_t c)
{
    cmsis_nn_dims found = {n, h, w, c};
    return found;
}

/* CMSIS-NN adds the bias to sums of (q - z) * w, and shifts the other way round. */
static void prepare(const ts_convolution *conv)
{
    int32_t taps = conv->kernel_height * conv->kernel_width, channels = conv->out.channels;
    int32_t run = conv->depthwise ? taps : taps * conv->in.channels;
    for (int32_t c = 0; c < channels; c++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < run; i++)
            sum += conv->depthwise ? conv->weight[i * channels + c] : conv->weight[c * run + i];
        bias[c] = conv->bias[c] + conv->zero_in * sum;
        shift[c] = 31 - conv->shift[c];
    }
}

static const char *convolve(const ts_convolution *conv)
{
    const cmsis_nn_context context = {buffer, sizeof buffer};
    const cmsis_nn_dims from = dims(1, conv->in.height, conv->in.width, conv->in.channels);
    const cmsis_nn_dims to = dims(1, conv->out.height, conv->out.width, conv->out.channels);
    const cmsis_nn_dims per_channel = dims(1, 1, 1, conv->out.channels);
    const cmsis_nn_activation clamp = {conv->low - 128, conv->high - 128};
    const cmsis_nn_tile stride = {conv->along, conv->down}, pad = {conv->left, conv->top}, one = {1, 1};
    cmsis_nn_per_channel_quant_params factors = {(int32_t *)(uintptr_t)conv->multiplier, shift};
    const int32_t zero_in = 128 - conv->zero_in, zero_out = conv->zero_out - 128;
    prepare(conv);
    if (conv->depthwise) {
        const cmsis_nn_dw_conv_params params = {zero_in, zero_out, 1, stride, pad, one, clamp};
        const cmsis_nn_dims kernel = dims(1, conv->kernel_height, conv->kernel_width, conv->out.channels);
        return arm_depthwise_conv_wrapper_s8(&context, &params, &factors, &from, in_s8, &kernel, conv->weight,
                                             &per_channel, bias, &to, actual)
                   ? "refused" : "arm_depthwise_conv_wrapper_s8";
    }
    const cmsis_nn_dims kernel =
        dims(conv->out.channels, conv->kernel_height, conv->kernel_width, conv->in.channels);
    if (from.h * from.w == 1 && kernel.h * kernel.w == 1) {
        const cmsis_nn_fc_params params = {zero_in, 0, zero_out, clamp};
        const cmsis_nn_dims inputs = dims(conv->in.channels, 1, 1, conv->out.channels);
        arm_vector_sum_s8((int32_t *)(void *)buffer, inputs.n, to.c, conv->weight, zero_in, 0, bias);
        return arm_fully_connected_per_channel_s8(&context, &params, &factors, &from, in_s8, &inputs,
                                                  conv->weight, &per_channel, bias, &to, actual)
                   ? "refused" : "arm_fully_connected_per_channel_s8";
    }
    const cmsis_nn_conv_params params = {zero_in, zero_out, stride, pad, one, clamp};
    int pointwise = kernel.h * kernel.w == 1 && conv->down * conv->along == 1;
    return arm_convolve_wrapper_s8(&context, &params, &factors, &from, in_s8, &kernel, conv->weight, &per_channel,
                                   bias, &to, actual)
               ? "refused" : pointwise ? "arm_convolve_1x1_s8_fast" : "arm_convolve_s8";
}

static const char *maximum(const ts_max_pool *pool)
{
    const cmsis_nn_context context = {NULL, 0};
    const cmsis_nn_pool_params params = {{pool->along, pool->down}, {0, 0}, {-128, 127}};
    const cmsis_nn_dims from = dims(1, pool->in.height, pool->in.width, pool->in.channels);
    const cmsis_nn_dims kernel = dims(1, pool->kernel_height, pool->kernel_width, 1);
    const cmsis_nn_dims to = dims(1, pool->out.height, pool->out.width, pool->out.channels);
    return arm_max_pool_s8(&context, &params, &from, in_s8, &kernel, &to, actual) ? "refused" : "arm_max_pool_s8";
}

/* The bytes of one operator that differ, of all tensors; prints them. */
static void compare(const ts_step *step)
{
    uint32_t differing = 0, bytes = 0;
    const char *name = NULL;
    for (int i = 0; i < TENSORS; i++) {
        int32_t count = 0;
        if (step->kind == TS_CHAIN) {
            const ts_chain *chain = step->operator_;
            const ts_convolution *conv = chain->spatial ? chain->spatial : chain->project;
            fill(in, in_s8, size_of(conv->in));
            count = size_of(conv->out);
            ts_portable.chain(chain, in, expected, scratch);
            name = convolve(conv);
        } else if (step->kind == TS_MAX_POOL) {
            const ts_max_pool *pool = step->operator_;
            ts_network one = {step, 1, 0};
            fill(in, in_s8, size_of(pool->in));
            memcpy(scratch + step->in[0], in, size_of(pool->in));
            ts_run(&one, &ts_portable, scratch);
            count = size_of(pool->out);
            memcpy(expected, scratch + step->out[0], count);
            name = maximum(pool);
        } else {
            return;
        }
        for (int32_t j = 0; j < count; j++)
            differing += expected[j] != (uint8_t)(actual[j] + 128);
        bytes += count;
    }
    print(name);
    print(" ");
    print_number(differing);
    print(" ");
    print_number(bytes);
    print("\n");
}

int main(void)
{
    for (int32_t i = 0; i < model_network.count; i++)
        compare(&model_network.steps[i]);
    leave(0);
}
