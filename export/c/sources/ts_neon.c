/* Kernels for 64-bit ARM, with the dot products of ARMv8.2 where the compiler may use them. */
#include "ts_simd.h"

#if TS_NEON

#include <arm_neon.h>

#define TS_TARGET
#define TS_NAME(name) ts_##name##_neon
#define TS_NARROW 0
#define LANES 4
#define POSITIONS 8
#define VECTORS 2
#define VI int32x4_t
#define VF float32x4_t
#define VB uint8x16_t
#define V_LOAD(p) vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)(const void *)(p)))
#define V_STORE(p, v) vst1q_u8((uint8_t *)(void *)(p), vreinterpretq_u8_s32(v))
#define V_SET(x) vdupq_n_s32(x)
#define V_ADD(a, b) vaddq_s32(a, b)
#define V_SUB(a, b) vsubq_s32(a, b)
#define V_MIN(a, b) vminq_s32(a, b)
#define V_OR(a, b) vorrq_s32(a, b)
#define V_SHIFT_LEFT(v, bits) vshlq_n_s32(v, bits)
#define V_SELECT(mask, a, b) vbslq_s32(vreinterpretq_u32_s32(mask), a, b)
#define V_FLOAT(v) vcvtq_f32_s32(v)
#define V_ROUND(v) vcvtnq_s32_f32(v)
#define V_LOAD_PS(p) vld1q_f32(p)
#define V_SET_PS(x) vdupq_n_f32(x)
#define V_SUB_PS(a, b) vsubq_f32(a, b)
#define V_MUL_PS(a, b) vmulq_f32(a, b)
#define V_DIV_PS(a, b) vdivq_f32(a, b)
#define V_FMA(a, b, c) vfmaq_f32(c, a, b)
#define V_MIN_PS(a, b) vminnmq_f32(a, b)
#define V_MAX_PS(a, b) vmaxnmq_f32(a, b)
#define V_SET_BYTES(x) vdupq_n_u8((uint8_t)(x))
#define V_MIN_BYTES(a, b) vminq_u8(a, b)
#define V_MAX_BYTES(a, b) vmaxq_u8(a, b)
#define V_FROM_BYTES(v) vreinterpretq_s32_u8(v)
/* (a, b, c, d) as bytes */
#define V_PACK(a, b, c, d)                                                                                 \
    vcombine_u8(vqmovun_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b))),                                   \
                vqmovun_s16(vcombine_s16(vqmovn_s32(c), vqmovn_s32(d))))
#define V_ORDER(v) (v)
#define V_INTERLEAVE(v) vreinterpretq_s32_u8(vqtbl1q_u8(v, vld1q_u8(ts_transposed)))
#define V_STORE_PIECE(p, v, piece)                                                                         \
    do {                                                                                                   \
        uint32_t word_ = vgetq_lane_u32(vreinterpretq_u32_u8(v), piece);                                   \
        memcpy(p, &word_, 4);                                                                              \
    } while (0)
#define V_STORE_SOME(p, v, piece, count)                                                                   \
    do {                                                                                                   \
        uint32_t word_ = vgetq_lane_u32(vreinterpretq_u32_u8(v), piece);                                   \
        for (int32_t i_ = 0; i_ < (count); i_++)                                                           \
            (p)[i_] = (uint8_t)(word_ >> (8 * i_));                                                        \
    } while (0)
/* activations minus 128, as signed bytes: see TS_INPUT_OFFSET */
#define V_FOUR_BYTES(p) vdupq_n_s32(ts_four_bytes(p) ^ (int32_t)0x80808080)
#define V_INPUT(p) veorq_s32(V_LOAD(p), vdupq_n_s32((int32_t)0x80808080))
#define V_DOT(sum, bytes, weights) ts_dot(sum, vreinterpretq_s8_s32(bytes), vreinterpretq_s8_s32(weights))
#define V_LOAD_BYTES(p)                                                                                    \
    vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8((uint32_t)ts_four_bytes(p))))))

static const uint8_t ts_transposed[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};

#ifdef __ARM_FEATURE_DOTPROD
#define TS_LABEL "NEON dot product"

static inline int32x4_t ts_dot(int32x4_t sum, int8x16_t a, int8x16_t b)
{
    return vdotq_s32(sum, a, b);
}
#else
#define TS_LABEL "NEON"

static inline int32x4_t ts_dot(int32x4_t sum, int8x16_t a, int8x16_t b)
{
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
    return vaddq_s32(sum, vpaddq_s32(low, high));
}
#endif

#if TS_VECTOR_FRONT_END
#define TS_NARROW_TARGET
#define TS_REAL float32x4_t
#define TS_LANES 4
#define TS_TOGETHER 4
#define F_LOAD(p) vld1q_f32(p)
#define F_STORE(p, v) vst1q_f32(p, v)
#define F_SET(x) vdupq_n_f32(x)
#define F_REVERSE(v) vextq_f32(vrev64q_f32(v), vrev64q_f32(v), 2)
#define F_PAIRS(a, b, first, second) (first = vuzp1q_f32(a, b), second = vuzp2q_f32(a, b))
#define PAIR float32x4x2_t
#define P_ZERO ts_pair(vdupq_n_f32(0.0f), vdupq_n_f32(0.0f))
#define P_LOAD(p, q) ts_pair(vld1q_f32(p), vld1q_f32(q))
#define P_TWICE(p) ts_pair(vld1q_f32(p), vld1q_f32(p))
#define P_ADD_PRODUCT(sum, a, b) ts_add_product(sum, a, b)
#define P_FIRST(v) ((v).val[0])
#define P_SECOND(v) ((v).val[1])
#define Q_STORE(p, v) vst1q_f32(p, v)
#define Q_PAIRS(a, b) vpaddq_f32(a, b) /* sums of neighbours: two of a, then two of b */

static inline float32x4x2_t ts_pair(float32x4_t first, float32x4_t second)
{
    float32x4x2_t pair = {{first, second}};
    return pair;
}

static inline float32x4x2_t ts_add_product(float32x4x2_t sum, float32x4x2_t a, float32x4x2_t b)
{
    return ts_pair(sum.val[0] + a.val[0] * b.val[0], sum.val[1] + a.val[1] * b.val[1]);
}

static void ts_transpose_neon(const float *restrict from, float *restrict to)
{
    for (int row = 0; row < 16; row += 4)
        for (int column = 0; column < 16; column += 4) {
            const float *a = from + TS_PITCH * row + column, *c = a + 2 * TS_PITCH;
            float32x4x4_t rows = {{F_LOAD(a), F_LOAD(a + TS_PITCH), F_LOAD(c), F_LOAD(c + TS_PITCH)}};
            float block[16];
            vst4q_f32(block, rows);
            for (int i = 0; i < 4; i++)
                F_STORE(to + 16 * (column + i) + row, F_LOAD(block + 4 * i));
        }
}

#include "ts_simd_mel.h"
#include "ts_front_end_core.h"
#endif

#include "ts_simd_convolution.h"
#include "ts_simd_kernels.h"

#endif
