/* SIMD kernels for x86: AVX2, and AVX-512 with VNNI. They give the bytes of the portable ones. */
#include "ts_x86.h"

#if TS_X86

#include <immintrin.h>
#include <string.h>

/* Weights in the order of the kernels, written once by pack(). */
typedef struct {
    const int8_t *weight; /* dense [kernel height][group of 4 inputs][lanes][4];
                             depthwise [rotation of the rows][kernel width][lanes][4 rows] */
    const int32_t *bias;  /* [lanes] */
    const float *scale;   /* [lanes] */
    int32_t lanes;        /* output channels, rounded up to 16 */
    int32_t rows, groups;
} ts_packed;

static ts_packed ts_packed_of[MODEL_CONVOLUTIONS];
static union {
    uint8_t bytes[MODEL_PACKED_BYTES];
    int64_t aligned;
} pool;

static float ts_float_of(int32_t multiplier, uint8_t shift)
{
    return (float)((double)multiplier / (double)((uint64_t)1 << shift));
}

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

static uint8_t *pack_convolution(const ts_convolution *conv, uint8_t *free_)
{
    ts_packed *packed = &ts_packed_of[conv->id];
    packed->lanes = (conv->out.channels + 15) / 16 * 16;
    int32_t *bias = (int32_t *)(void *)free_;
    float *scale = (float *)(void *)(free_ + (size_t)4 * packed->lanes);
    for (int32_t c = 0; c < packed->lanes; c++) {
        int inside = c < conv->out.channels;
        bias[c] = inside ? conv->bias[c] : 0;
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

#ifdef __clang__
#define TS_UNROLL _Pragma("unroll")
#else
#define TS_UNROLL _Pragma("GCC unroll 8")
#endif

#define TS_TARGET __attribute__((target("avx2")))
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
#define V_MUL(a, b) _mm256_mullo_epi32(a, b)
#define V_MADD(a, b) _mm256_madd_epi16(a, b)
#define V_AND(a, b) _mm256_and_si256(a, b)
#define V_MIN(a, b) _mm256_min_epi32(a, b)
#define V_MAX(a, b) _mm256_max_epi32(a, b)
#define V_SHIFT(a, count) _mm256_sra_epi32(a, _mm_cvtsi32_si128(count))
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
#define V_FOUR_BYTES(p) _mm256_set1_epi32(four_bytes(p))
#define V_LOAD_BYTES(p) _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#define V_MERGE(old, value, slot)                                                                          \
    _mm256_blendv_epi8(old, _mm256_sll_epi32(value, _mm_cvtsi32_si128(8 * (slot))),                        \
                       _mm256_sll_epi32(_mm256_set1_epi32(255), _mm_cvtsi32_si128(8 * (slot))))
#define V_STORE_BYTES(p, v)                                                                                \
    do {                                                                                                   \
        __m128i words_ = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));       \
        _mm_storel_epi64((__m128i *)(void *)(p), _mm_packus_epi16(words_, words_));                        \
    } while (0)

static inline int32_t four_bytes(const uint8_t *bytes)
{
    int32_t word;
    memcpy(&word, bytes, 4);
    return word;
}

#include "ts_front_end_core.h"
#include "ts_x86_kernels.h"

#undef TS_TARGET
#undef TS_NAME
#undef TS_LABEL
#undef TS_NARROW
#undef LANES
#undef POSITIONS
#undef VECTORS
#undef VI
#undef VF
#undef V_LOAD
#undef V_STORE
#undef V_SET
#undef V_ADD
#undef V_SUB
#undef V_MUL
#undef V_MADD
#undef V_AND
#undef V_MIN
#undef V_MAX
#undef V_SHIFT
#undef V_FLOAT
#undef V_ROUND
#undef V_LOAD_PS
#undef V_SET_PS
#undef V_MUL_PS
#undef V_DIV_PS
#undef V_MIN_PS
#undef V_MAX_PS
#undef V_DOT
#undef V_FOUR_BYTES
#undef V_LOAD_BYTES
#undef V_MERGE
#undef V_STORE_BYTES

#define TS_TARGET __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
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
#define V_MUL(a, b) _mm512_mullo_epi32(a, b)
#define V_MADD(a, b) _mm512_madd_epi16(a, b)
#define V_AND(a, b) _mm512_and_si512(a, b)
#define V_MIN(a, b) _mm512_min_epi32(a, b)
#define V_MAX(a, b) _mm512_max_epi32(a, b)
#define V_SHIFT(a, count) _mm512_sra_epi32(a, _mm_cvtsi32_si128(count))
#define V_FLOAT(v) _mm512_cvtepi32_ps(v)
#define V_ROUND(v) _mm512_cvtps_epi32(v)
#define V_LOAD_PS(p) _mm512_loadu_ps(p)
#define V_SET_PS(x) _mm512_set1_ps(x)
#define V_MUL_PS(a, b) _mm512_mul_ps(a, b)
#define V_DIV_PS(a, b) _mm512_div_ps(a, b)
#define V_MIN_PS(a, b) _mm512_min_ps(a, b)
#define V_MAX_PS(a, b) _mm512_max_ps(a, b)
#define V_DOT(sum, bytes, weights) _mm512_dpbusd_epi32(sum, bytes, weights)
#define V_FOUR_BYTES(p) _mm512_set1_epi32(four_bytes(p))
#define V_LOAD_BYTES(p) _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define V_MERGE(old, value, slot)                                                                          \
    _mm512_mask_blend_epi8((__mmask64)0x1111111111111111u << (slot), old,                                  \
                           _mm512_sll_epi32(value, _mm_cvtsi32_si128(8 * (slot))))
#define V_STORE_BYTES(p, v) _mm_storeu_si128((__m128i *)(void *)(p), _mm512_cvtepi32_epi8(v))

#include "ts_front_end_core.h"
#include "ts_x86_kernels.h"

void ts_x86_choose(const ts_kernels **kernels, ts_column **column, const char *name)
{
    const ts_kernels *kinds[2] = {&ts_kernels_avx2, &ts_kernels_avx512};
    ts_column *columns[2] = {ts_column_avx2, ts_column_avx512};
    int has[2];
    __builtin_cpu_init();
    has[0] = !!__builtin_cpu_supports("avx2");
    has[1] = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    pack();
    for (int kind = 0; kind < 2; kind++)
        if (has[kind] && (!name || !strcmp(name, kinds[kind]->name))) {
            *kernels = kinds[kind];
            *column = columns[kind];
        }
}

#endif
