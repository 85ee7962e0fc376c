/* Integer operators of an INT8 network. ARITHMETIC.md defines what each computes; every kernel, portable or
   SIMD, gives the same bytes. Tensors are uint8 [height][width][channels]. */
#ifndef TS_NETWORK_H
#define TS_NETWORK_H

#include "model_config.h"

#include <stddef.h>
#include <stdint.h>

/* Cortex-M4, M7, M33 and above; TS_NO_SIMD leaves their kernels out. */
#if defined __ARM_FEATURE_DSP && defined __ARM_ARCH_PROFILE && !defined TS_NO_SIMD
#define TS_CORTEX_M (__ARM_ARCH_PROFILE == 'M')
#else
#define TS_CORTEX_M 0
#endif
#if TS_CORTEX_M && defined __ARM_FEATURE_MVE
#define TS_HELIUM 1
#else
#define TS_HELIUM 0
#endif

/* A real factor: multiplier * 2^-shift. */
typedef struct {
    int32_t multiplier;
    uint8_t shift;    /* 1..62 */
    uint8_t off_ties; /* float32 gives the same integers: see ARITHMETIC.md */
} ts_factor;

/* (a * first + b * second + offset) >> shift, in int32. */
typedef struct {
    int32_t first, second, offset;
    uint8_t shift;
    uint8_t off_ties; /* float32 gives the same integers, in any order of its operations */
} ts_sum;

typedef struct {
    int32_t height, width, channels;
} ts_shape;

typedef struct {
    const int8_t *weight;      /* dense [out][kernel height][kernel width][in]; depthwise without [in] */
    const int32_t *bias;       /* [out], with the zero point of the input folded in */
    const int32_t *multiplier; /* [out] */
    const uint8_t *shift;      /* [out] */
    ts_shape in, out;
    uint8_t depthwise, off_ties;
    uint8_t narrow; /* weights in [-64, 64]: two products of a byte fit int16 */
    uint8_t kernel_height, kernel_width, down, along; /* strides */
    uint8_t top, left, right;                         /* padding; rows below the input are padding too */
    uint8_t zero_in, zero_out, low, high;
    uint16_t id; /* counts the convolutions of a network */
} ts_convolution;

/* Convolutions that pass rows to each other: pointwise, spatial, pointwise; any but one may be absent. */
typedef struct {
    const ts_convolution *expand, *spatial, *project;
} ts_chain;

typedef struct {
    ts_shape shape;                     /* of the first and of the result */
    int32_t down, along, across;        /* steps of the second along height, width and channels; 0 repeats */
    ts_sum sum;
    uint8_t low, high;
} ts_add;

typedef struct {
    ts_shape shape;
    int32_t down[2], along[2], across[2]; /* steps of the factors and of the offsets */
    ts_factor factor;
    ts_sum sum;
    uint8_t zero_first, zero_second, zero_product, low, high, constant; /* constant: no tensor of offsets */
} ts_affine;

typedef struct {
    ts_shape shape;
    uint8_t axes[3]; /* whether the mean is over height, width, channels */
    uint8_t squares, zero_in, zero_out, low, high;
    ts_factor square, factor;
} ts_mean;

typedef struct {
    int32_t size;
    const uint8_t *table; /* [256] */
} ts_lookup;

typedef struct {
    int32_t channels;
    int64_t one, gain, floor;
} ts_response_norm;

typedef struct {
    int32_t count;
    int64_t energy, mean, floor, scale_step, scale_constant, offset_step;
    uint8_t half_bits, zero_mean, zero_energy, zero_offset;
} ts_residual_norm;

typedef struct {
    ts_shape in, out;
    uint8_t kernel_height, kernel_width, down, along;
} ts_max_pool;

typedef struct {
    int32_t positions, channels_in, channels_out, count;
    const uint16_t *from, *to; /* [count] channels of the source and of the result */
} ts_channels;

enum {
    TS_CHAIN, TS_ADD, TS_AFFINE, TS_MEAN, TS_LOOKUP, TS_RESPONSE_NORM, TS_RESIDUAL_NORM, TS_MAX_POOL,
    TS_CHANNELS
};

/* One step of a network; offsets are bytes of the arena. A chain has its scratch as the third input. */
typedef struct {
    uint8_t kind;
    const void *operator_;
    int32_t in[3], out[2];
} ts_step;

typedef struct {
    const ts_step *steps;
    int32_t count;
    int32_t wide_scratch; /* offset of the scratch of SIMD kernels */
} ts_network;

/* What SIMD replaces. */
typedef struct {
    const char *name;
    int wide; /* chains take the scratch of SIMD kernels */
    void (*chain)(const ts_chain *, const uint8_t *in, uint8_t *out, uint8_t *scratch);
    void (*add)(const ts_add *, const uint8_t *first, const uint8_t *second, uint8_t *out);
    void (*affine)(const ts_affine *, const uint8_t *first, const uint8_t *second, const uint8_t *offset,
                   uint8_t *out);
    void (*mean)(const ts_mean *, const uint8_t *in, uint8_t *out);
#if !MODEL_FIXED_POINT
    void (*quantize)(const float *values, int32_t count, float scale, int32_t zero, uint8_t *out);
    const struct ts_front_end *front_end;
#endif
} ts_kernels;

extern const ts_kernels ts_portable;

/* ONNX's QuantizeLinear: divide, round halves to even, add the zero point, clamp. */
void ts_quantize(const float *values, int32_t count, float scale, int32_t zero, uint8_t *out);

/* Run a network whose input lies in the arena already. */
void ts_run(const ts_network *network, const ts_kernels *kernels, uint8_t *arena);

/* C99 leaves the shift of a negative number to the compiler; all of them keep the sign. */
typedef char ts_shifts_keep_the_sign[(-3 >> 1) == -2 ? 1 : -1];

/* accumulator * factor, rounded to the nearest integer, halves up. */
static inline int32_t ts_scale(int32_t accumulator, int32_t multiplier, uint8_t shift)
{
    return (int32_t)(((int64_t)accumulator * multiplier + ((int64_t)1 << (shift - 1))) >> shift);
}

/* The same for a shift above 32: the upper half of the product decides. */
static inline int32_t ts_scale_high(int32_t accumulator, int32_t multiplier, uint8_t shift)
{
    int32_t high = (int32_t)(((int64_t)accumulator * multiplier) >> 32);
    return ((high >> (shift - 33)) + 1) >> 1;
}

static inline uint8_t ts_clamp(int32_t value, int32_t low, int32_t high)
{
    return (uint8_t)(value < low ? low : value > high ? high : value);
}

#endif
