/* Kernels for AVX-512 with VNNI. */
#include "ts_simd.h"

#if TS_X86

#include <immintrin.h>

#define TS_TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define TS_NAME(name) ts_##name##_avx512
#define TS_LABEL "AVX-512 VNNI"
#define TS_NARROW 0
#define LANES 16
#define POSITIONS 8
#define VECTORS 3
#define VI __m512i
#define VF __m512
#define V_LOAD(p) _mm512_loadu_si512(p)
#define V_STORE(p, v) _mm512_storeu_si512(p, v)
#define V_SET(x) _mm512_set1_epi32(x)
#define V_ADD(a, b) _mm512_add_epi32(a, b)
#define V_SUB(a, b) _mm512_sub_epi32(a, b)
#define V_MIN(a, b) _mm512_min_epi32(a, b)
#define V_FLOAT(v) _mm512_cvtepi32_ps(v)
#define V_ROUND(v) _mm512_cvtps_epi32(v)
#define V_LOAD_PS(p) _mm512_loadu_ps(p)
#define V_SET_PS(x) _mm512_set1_ps(x)
#define V_MUL_PS(a, b) _mm512_mul_ps(a, b)
#define V_DIV_PS(a, b) _mm512_div_ps(a, b)
#define V_MIN_PS(a, b) _mm512_min_ps(a, b)
#define V_MAX_PS(a, b) _mm512_max_ps(a, b)
#define V_DOT(sum, bytes, weights) _mm512_dpbusd_epi32(sum, bytes, weights)
#define V_FOUR_BYTES(p) _mm512_set1_epi32(ts_four_bytes(p))
#define V_LOAD_BYTES(p) _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define VB __m512i
#define V_INPUT(p) V_LOAD(p)
#define V_OR(a, b) _mm512_or_si512(a, b)
#define V_SHIFT_LEFT(v, bits) _mm512_slli_epi32(v, bits)
#define V_SELECT(mask, a, b) _mm512_ternarylogic_epi32(mask, a, b, 0xca)
#define V_FROM_BYTES(v) (v)
#define V_SET_BYTES(x) _mm512_set1_epi8((char)(x))
#define V_MIN_BYTES(a, b) _mm512_min_epu8(a, b)
#define V_MAX_BYTES(a, b) _mm512_max_epu8(a, b)
#define V_PACK(a, b, c, d) _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d))
#define V_ORDER(v)                                                                                         \
    _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v)
#define V_INTERLEAVE(v) _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(ts_transposed()))
#define V_STORE_PIECE(p, v, piece)                                                                         \
    _mm_storeu_si128((__m128i *)(void *)(p), _mm512_extracti32x4_epi32(v, piece))
#define V_STORE_SOME(p, v, piece, count)                                                                   \
    _mm_mask_storeu_epi8(p, (__mmask16)((1 << (count)) - 1), _mm512_extracti32x4_epi32(v, piece))
#define V_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define V_SUB_PS(a, b) _mm512_sub_ps(a, b)

/* Shuffles four of a, of b, of c and of d into (a, b, c, d) for each of the four. */
TS_TARGET static inline __m128i ts_transposed(void)
{
    return _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}

#if TS_VECTOR_FRONT_END
/* Where a loop divides, or reads four floats at a time, three ports of 256 bits do more than two of 512. */
#define TS_NARROW_TARGET __attribute__((target("avx2,fma")))
#define TS_REAL __m512
#define TS_LANES 16
#define TS_TOGETHER 4
#define F_LOAD(p) _mm512_loadu_ps(p)
#define F_STORE(p, v) _mm512_storeu_ps(p, v)
#define F_SET(x) _mm512_set1_ps(x)
#define F_REVERSE(v)                                                                                       \
    _mm512_permutexvar_ps(_mm512_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), v)
#define F_PAIRS(a, b, first, second)                                                                       \
    (first = _mm512_permutex2var_ps(                                                                       \
         a, _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), b),              \
     second = _mm512_permutex2var_ps(                                                                      \
         a, _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), b))

/* Pieces of four columns of rows r, r + 4, r + 8 and r + 12 are put together while they are loaded, which takes
   no shuffle; then every 4 x 4 floats are transposed. */
TS_TARGET static inline __attribute__((always_inline)) __m512 ts_pieces_avx512(const float *from)
{
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(from));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(from + 4 * TS_PITCH), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(from + 8 * TS_PITCH), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(from + 12 * TS_PITCH), 3);
}

TS_TARGET static void ts_transpose_avx512(const float *restrict from, float *restrict to)
{
    for (int column = 0; column < 16; column += 4) {
        const float *first = from + column, *third = first + 2 * TS_PITCH;
        __m512 a = ts_pieces_avx512(first), b = ts_pieces_avx512(first + TS_PITCH);
        __m512 c = ts_pieces_avx512(third), d = ts_pieces_avx512(third + TS_PITCH);
        __m512 low_ab = _mm512_unpacklo_ps(a, b), high_ab = _mm512_unpackhi_ps(a, b);
        __m512 low_cd = _mm512_unpacklo_ps(c, d), high_cd = _mm512_unpackhi_ps(c, d);
        F_STORE(to + 16 * column, _mm512_shuffle_ps(low_ab, low_cd, 0x44));
        F_STORE(to + 16 * column + 16, _mm512_shuffle_ps(low_ab, low_cd, 0xee));
        F_STORE(to + 16 * column + 32, _mm512_shuffle_ps(high_ab, high_cd, 0x44));
        F_STORE(to + 16 * column + 48, _mm512_shuffle_ps(high_ab, high_cd, 0xee));
    }
}

#include "ts_simd_pairs_x86.h"
#include "ts_simd_mel.h"
#include "ts_front_end_core.h"
#endif

#include "ts_simd_convolution.h"
#include "ts_simd_kernels.h"

#endif
