/* The front end in portable C99. */
#include "ts_front_end.h"

#include <string.h>

#define HALF_ROOT 0.70710678f
#define COSINE 0.92387953f /* of pi / 8 */
#define SINE 0.38268343f

const float ts_sixteenths[3][6] = {
    {COSINE, -SINE, HALF_ROOT, -HALF_ROOT, SINE, -COSINE},
    {HALF_ROOT, -HALF_ROOT, 0.0f, -1.0f, -HALF_ROOT, -HALF_ROOT},
    {SINE, -COSINE, -HALF_ROOT, -HALF_ROOT, -COSINE, SINE},
};

void ts_turn(int32_t index, float *re, float *im)
{
    int32_t quarter = index / (TS_POINTS / 4), rest = index % (TS_POINTS / 4);
    float c = model_twiddle[rest], s = model_twiddle[TS_POINTS / 4 + rest];
    *re = quarter == 0 ? c : quarter == 1 ? s : quarter == 2 ? -c : -s;
    *im = quarter == 0 ? s : quarter == 1 ? -c : quarter == 2 ? -s : c;
}

void ts_rotations_of(int32_t index, float *w)
{
    w[0] = model_twiddle[16 * index];
    w[1] = model_twiddle[TS_POINTS / 4 + 16 * index];
    w[2] = w[0] * w[0] - w[1] * w[1];
    w[3] = 2.0f * w[0] * w[1];
    w[4] = w[0] * w[2] - w[1] * w[3];
    w[5] = w[0] * w[3] + w[1] * w[2];
}

#define TS_TARGET
#define TS_NAME(name) ts_##name##_portable
#define TS_NARROW_TARGET
#if defined __GNUC__ && !defined __clang__ && defined __OPTIMIZE__ /* unrolled, the loops around these become vectors of Helium */
#define TS_UNROLL _Pragma("GCC unroll 8")
#else
#define TS_UNROLL
#endif
#define TS_REAL float
#define TS_LANES 1
#define TS_TOGETHER 1
#define F_LOAD(p) (*(p))
#define F_STORE(p, v) (*(p) = (v))
#define F_SET(x) (x)
#define F_REVERSE(v) (v)
#define F_PAIRS(a, b, first, second) (first = (a), second = (b))
#define F_ROTATIONS(w, index) float w[6]; ts_rotations_of(index, w)
#define F_TURN(row, i, re, im) ts_turn((row) * (i), &re, &im)

static void ts_transpose_portable(const float *restrict from, float *restrict to)
{
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 16; column++)
            to[16 * column + row] = from[TS_PITCH * row + column];
}

/* Bands of bins; four sums, added at the end, so that vectors can hold them. */
static void ts_mel_portable(const float *restrict power, int frames, float *restrict bands)
{
    (void)frames; /* one */
    const float *weight = model_mel_weight;
    for (int band = 0; band < MODEL_N_MELS; band++) {
        const float *bin = power + model_mel_first[band];
        float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (int group = 0; group < model_mel_groups[band]; group++, bin += 4, weight += 4)
            for (int i = 0; i < 4; i++)
                sum[i] += bin[i] * weight[i];
        bands[band] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
}

#include "ts_front_end_core.h"
