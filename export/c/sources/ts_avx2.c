/* Kernels for AVX2. */
#include "ts_simd.h"

#if TS_X86

#include <immintrin.h>

#define TS_TARGET __attribute__((target("avx2,fma")))
#define TS_NAME(name) ts_##name##_avx2
#define TS_LABEL "AVX2"
#define TS_NARROW 1 /* vpmaddubsw saturates at int16 */
#define LANES 8
#define POSITIONS 4
#define VECTORS 2
#define VI __m256i
#define VF __m256
#define V_LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define V_STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define V_SET(x) _mm256_set1_epi32(x)
#define V_ADD(a, b) _mm256_add_epi32(a, b)
#define V_SUB(a, b) _mm256_sub_epi32(a, b)
#define V_MIN(a, b) _mm256_min_epi32(a, b)
#define V_FLOAT(v) _mm256_cvtepi32_ps(v)
#define V_ROUND(v) _mm256_cvtps_epi32(v)
#define V_LOAD_PS(p) _mm256_loadu_ps(p)
#define V_SET_PS(x) _mm256_set1_ps(x)
#define V_MUL_PS(a, b) _mm256_mul_ps(a, b)
#define V_DIV_PS(a, b) _mm256_div_ps(a, b)
#define V_MIN_PS(a, b) _mm256_min_ps(a, b)
#define V_MAX_PS(a, b) _mm256_max_ps(a, b)
#define V_DOT(sum, bytes, weights)                                                                         \
    _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, weights), _mm256_set1_epi16(1)))
#define V_FOUR_BYTES(p) _mm256_set1_epi32(ts_four_bytes(p))
#define V_LOAD_BYTES(p) _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#define VB __m256i
#define V_INPUT(p) V_LOAD(p)
#define V_OR(a, b) _mm256_or_si256(a, b)
#define V_SHIFT_LEFT(v, bits) _mm256_slli_epi32(v, bits)
/* all bits of a byte of a mask are equal; GCC miscompiles _mm256_blendv_epi8 with -funsigned-char */
#define V_SELECT(mask, a, b) _mm256_or_si256(_mm256_and_si256(mask, a), _mm256_andnot_si256(mask, b))
#define V_FROM_BYTES(v) (v)
#define V_SET_BYTES(x) _mm256_set1_epi8((char)(x))
#define V_MIN_BYTES(a, b) _mm256_min_epu8(a, b)
#define V_MAX_BYTES(a, b) _mm256_max_epu8(a, b)
/* (a, b, c, d) as bytes: four of a, of b, of c and of d, then the next four of each */
#define V_PACK(a, b, c, d) _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d))
#define V_ORDER(v) _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
#define V_INTERLEAVE(v) _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(ts_transposed()))
#define V_STORE_PIECE(p, v, piece)                                                                         \
    _mm_storel_epi64((__m128i *)(void *)(p), (piece) % 2 ? _mm_unpackhi_epi64(V_HALF(v, piece), V_HALF(v, piece)) \
                                                         : V_HALF(v, piece))
#define V_HALF(v, piece) _mm256_extracti128_si256(v, (piece) / 2)
#define V_STORE_SOME(p, v, piece, count)                                                                   \
    do {                                                                                                   \
        uint8_t some_[LANES];                                                                              \
        V_STORE_PIECE(some_, v, piece);                                                                    \
        for (int32_t i_ = 0; i_ < (count); i_++)                                                           \
            (p)[i_] = some_[i_];                                                                           \
    } while (0)
#define V_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define V_SUB_PS(a, b) _mm256_sub_ps(a, b)

/* Shuffles four of a, of b, of c and of d into (a, b, c, d) for each of the four. */
TS_TARGET static inline __m128i ts_transposed(void)
{
    return _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}

#if TS_VECTOR_FRONT_END
#define TS_NARROW_TARGET TS_TARGET
#define TS_REAL __m256
#define TS_LANES 8
#define TS_TOGETHER 4
#define F_LOAD(p) _mm256_loadu_ps(p)
#define F_STORE(p, v) _mm256_storeu_ps(p, v)
#define F_SET(x) _mm256_set1_ps(x)
#define F_REVERSE(v) _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0))
#define F_PAIRS(a, b, first, second)                                                                       \
    (first = F_SORT(_mm256_shuffle_ps(a, b, 0x88)), second = F_SORT(_mm256_shuffle_ps(a, b, 0xdd)))
#define F_SORT(v) _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8))

TS_TARGET static void ts_transpose_avx2(const float *restrict from, float *restrict to)
{
    for (int row = 0; row < 16; row += 8)
        for (int column = 0; column < 16; column += 8) {
            __m256 a[8], b[8];
            TS_UNROLL
            for (int i = 0; i < 8; i++)
                a[i] = F_LOAD(from + TS_PITCH * (row + i) + column);
            TS_UNROLL
            for (int i = 0; i < 8; i += 2) {
                b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
                b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
            }
            TS_UNROLL
            for (int i = 0; i < 8; i += 4) {
                a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
                a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
                a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
                a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
            }
            TS_UNROLL
            for (int i = 0; i < 4; i++) {
                F_STORE(to + 16 * (column + i) + row, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
                F_STORE(to + 16 * (column + i + 4) + row, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
            }
        }
}

#include "ts_simd_pairs_x86.h"
#include "ts_simd_mel.h"
#include "ts_front_end_core.h"
#endif

#include "ts_simd_convolution.h"
#include "ts_simd_kernels.h"

#endif
