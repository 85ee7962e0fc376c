/* Pairs of four floats in one register of eight, for the front end on x86: ts_avx2.c and ts_avx512.c include this. */
#ifndef TS_SIMD_PAIRS_X86_H
#define TS_SIMD_PAIRS_X86_H

#define PAIR __m256
#define P_ZERO _mm256_setzero_ps()
#define P_LOAD(p, q) _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(q), 1)
#define P_TWICE(p) _mm256_broadcast_ps((const __m128 *)(const void *)(p))
#define P_ADD_PRODUCT(sum, a, b) ((sum) + (a) * (b))
#define P_FIRST(v) _mm256_castps256_ps128(v)
#define P_SECOND(v) _mm256_extractf128_ps(v, 1)
#define Q_STORE(p, v) _mm_storeu_ps(p, v)
#define Q_PAIRS(a, b) _mm_hadd_ps(a, b) /* sums of neighbours: two of a, then two of b */

#endif
