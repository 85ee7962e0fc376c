/* What the SIMD kernels share: weights in their order, and the choice among them. */
#include "ts_simd.h"

#if TS_SIMD

ts_packed ts_packed_of[MODEL_CONVOLUTIONS];

static union {
    uint8_t bytes[MODEL_PACKED_BYTES];
    int64_t aligned;
} pool TS_ALIGNED;

/* NEON multiplies signed bytes, so its kernels take activations minus 128. */
#define TS_INPUT_OFFSET (TS_NEON ? 128 : 0)

static uint8_t *pack_dense(const ts_convolution *conv, ts_packed *packed, uint8_t *free_)
{
    int32_t run = conv->kernel_width * conv->in.channels;
    packed->rows = conv->kernel_height;
    packed->groups = (run + 3) / 4;
    for (int32_t row = 0; row < packed->rows; row++)
        for (int32_t k = 0; k < 4 * packed->groups; k++)
            for (int32_t c = 0; c < packed->lanes; c++) {
                size_t group = (size_t)row * packed->groups + k / 4;
                int inside = k < run && c < conv->out.channels;
                free_[4 * (group * packed->lanes + c) + k % 4] =
                    inside ? (uint8_t)conv->weight[((size_t)c * packed->rows + row) * run + k] : 0;
            }
    return free_ + (size_t)4 * packed->rows * packed->groups * packed->lanes;
}

static uint8_t *pack_depthwise(const ts_convolution *conv, ts_packed *packed, uint8_t *free_)
{
    size_t size = (size_t)16 * conv->kernel_width * packed->lanes;
    memset(free_, 0, size);
    for (int32_t rotation = 0; rotation < 4; rotation++)
        for (int32_t row = 0; row < conv->kernel_height; row++)
            for (int32_t column = 0; column < conv->kernel_width; column++)
                for (int32_t c = 0; c < conv->out.channels; c++) {
                    size_t place = ((size_t)rotation * conv->kernel_width + column) * packed->lanes + c;
                    size_t from = ((size_t)row * conv->kernel_width + column) * conv->out.channels + c;
                    free_[4 * place + ((rotation + row) & 3)] = (uint8_t)conv->weight[from];
                }
    return free_ + size;
}

static int32_t weight_sum(const ts_convolution *conv, int32_t channel)
{
    int32_t taps = conv->kernel_height * conv->kernel_width, sum = 0;
    int32_t run = conv->depthwise ? taps : taps * conv->in.channels;
    for (int32_t i = 0; i < run; i++)
        sum += conv->depthwise ? conv->weight[(size_t)i * conv->out.channels + channel]
                               : conv->weight[(size_t)channel * run + i];
    return sum;
}

static uint8_t *pack_convolution(const ts_convolution *conv, uint8_t *free_)
{
    ts_packed *packed = &ts_packed_of[conv->id];
    packed->lanes = (conv->out.channels + 15) / 16 * 16;
    int32_t *bias = (int32_t *)(void *)free_;
    float *scale = (float *)(void *)(free_ + (size_t)4 * packed->lanes);
    for (int32_t c = 0; c < packed->lanes; c++) {
        int inside = c < conv->out.channels;
        bias[c] = inside ? conv->bias[c] + TS_INPUT_OFFSET * weight_sum(conv, c) : 0;
        scale[c] = inside ? ts_float_of(conv->multiplier[c], conv->shift[c]) : 0.0f;
    }
    free_ += (size_t)8 * packed->lanes;
    packed->bias = bias;
    packed->scale = scale;
    packed->weight = (const int8_t *)free_;
    if (!conv->depthwise)
        return pack_dense(conv, packed, free_);
    return conv->kernel_height <= 4 ? pack_depthwise(conv, packed, free_) : free_;
}

static void pack(void)
{
    uint8_t *free_ = pool.bytes;
    for (int32_t i = 0; i < model_network.count; i++) {
        if (model_network.steps[i].kind != TS_CHAIN)
            continue;
        const ts_chain *chain = model_network.steps[i].operator_;
        const ts_convolution *convolutions[3] = {chain->expand, chain->spatial, chain->project};
        for (int32_t part = 0; part < 3; part++)
            if (convolutions[part])
                free_ = pack_convolution(convolutions[part], free_);
    }
}

#if MODEL_FIXED_POINT
static void turn(void)
{
}
#else
float ts_turns[2 * TS_POINTS] TS_ALIGNED;
float ts_rotations[6 * (TS_ROWS / 4 + 1)];

static void turn(void)
{
    for (int32_t row = 0; row < TS_ROWS; row++)
        for (int32_t k = 0; k < 16; k++)
            ts_turn(row * k, &ts_turns[16 * row + k], &ts_turns[TS_POINTS + 16 * row + k]);
    for (int32_t index = 0; index < TS_ROWS / 4; index++)
        ts_rotations_of(index, ts_rotations + 6 * index);
}
#endif

static void prepare(void)
{
    static int done;
    if (!done) {
        pack();
        turn();
    }
    done = 1;
}

#if TS_X86
extern const ts_kernels ts_kernels_avx2, ts_kernels_avx512;

void ts_simd_choose(const ts_kernels **kernels, const char *name)
{
    const ts_kernels *kinds[2] = {&ts_kernels_avx2, &ts_kernels_avx512};
    int has[2];
    __builtin_cpu_init();
    has[0] = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    has[1] = has[0] && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    prepare();
    for (int kind = 0; kind < 2; kind++)
        if (has[kind] && (!name || !strcmp(name, kinds[kind]->name)))
            *kernels = kinds[kind];
}
#else
extern const ts_kernels ts_kernels_neon;

void ts_simd_choose(const ts_kernels **kernels, const char *name)
{
    prepare();
    if (!name || !strcmp(name, ts_kernels_neon.name))
        *kernels = &ts_kernels_neon;
}
#endif

#endif
