/* SIMD kernels, chosen at run time on x86. They give the bytes of the portable ones. */
#ifndef TS_SIMD_H
#define TS_SIMD_H

#include "model_network.h"
#include "ts_front_end.h"
#include "ts_network.h"

#if TS_SIMD

#include <string.h>

/* The fastest kernels of this processor, or those of a name; they stay as they are where it has none. */
void ts_simd_choose(const ts_kernels **kernels, const char *name);

/* Weights in the order of the kernels, written once. */
typedef struct {
    const int8_t *weight; /* dense [kernel height][group of 4 inputs][lanes][4];
                             depthwise [rotation of the rows][kernel width][lanes][4 rows] */
    const int32_t *bias;  /* [lanes] */
    const float *scale;   /* [lanes] */
    int32_t lanes;        /* output channels, rounded up to 16 */
    int32_t rows, groups;
} ts_packed;

extern ts_packed ts_packed_of[MODEL_CONVOLUTIONS];

#if !MODEL_FIXED_POINT
/* exp(-2 pi i k row / points) of every row and k below 16: real parts, then imaginary ones. */
extern float ts_turns[2 * TS_POINTS] TS_ALIGNED;

/* What ts_rotations_of gives for every index below TS_ROWS / 4. */
extern float ts_rotations[6 * (TS_ROWS / 4 + 1)];
#endif

/* A front end whose rows are shorter than a vector runs in portable C. */
#if !MODEL_FIXED_POINT && TS_ROWS >= 16
#define TS_VECTOR_FRONT_END 1
#define TS_OWN_FRONT_END TS_NAME(front_end)
#else
#define TS_VECTOR_FRONT_END 0
#define TS_OWN_FRONT_END ts_front_end_portable
#endif

static inline float ts_float_of(int32_t multiplier, uint8_t shift)
{
    return (float)((double)multiplier / (double)((uint64_t)1 << shift));
}

static inline int32_t ts_four_bytes(const uint8_t *bytes)
{
    int32_t word;
    memcpy(&word, bytes, 4);
    return word;
}

#ifndef __OPTIMIZE__ /* GCC warns of loops that it does not unroll */
#define TS_UNROLL
#elif defined __clang__
/* it warns of a loop whose count is constant in some of the places that it is inlined into, not in all */
#pragma clang diagnostic ignored "-Wpass-failed"
#define TS_UNROLL _Pragma("unroll")
#else
#define TS_UNROLL _Pragma("GCC unroll 8")
#endif

/* The compiler takes the value as it is, instead of deriving it from others in every pass of a loop. */
#define TS_OPAQUE(pointer) __asm__("" : "+r"(pointer))

/* The rotations of a butterfly, and of 16 neighbours of a row, for ts_front_end_core.h. */
#define F_ROTATIONS(w, index) const float *w = ts_rotations + 6 * (index)
#define F_TURN(row, i, re, im)                                                                             \
    (re = F_LOAD(ts_turns + 16 * (row) + (i)), im = F_LOAD(ts_turns + TS_POINTS + 16 * (row) + (i)))

#endif
#endif
