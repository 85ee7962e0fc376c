/* The front end in integers, the same on every machine. */
#include "ts_front_end.h"

#include <string.h>

/* A loop in a function of its own has the registers to itself. */
#ifdef __GNUC__
#define TS_APART __attribute__((noinline))
#else
#define TS_APART
#endif

/* (a * c + b * d) / 2^33, rounded to the nearest integer, halves up. */
static int32_t rotate(int32_t a, int32_t c, int32_t b, int32_t d)
{
    int64_t sum = (int64_t)a * c + (int64_t)b * d;
    return ((int32_t)(sum >> 32) + 1) >> 1;
}

static int32_t quarter_of(int32_t x)
{
    return (x + 2) >> 2;
}

static int leading_zeros(uint64_t x)
{
#if defined __GNUC__
    return __builtin_clzll(x);
#else
    int count = 0;
    for (; !(x >> 63); x <<= 1)
        count++;
    return count;
#endif
}

/* exp(-2 pi i index / n_fft) for an index below 3/4 n_fft. */
static void turn(int32_t index, int32_t *re, int32_t *im)
{
    int32_t quarter = index / (MODEL_N_FFT / 4), rest = index % (MODEL_N_FFT / 4);
    int32_t cosine = model_cosine[rest], sine = model_cosine[MODEL_N_FFT / 4 - rest];
    *re = quarter == 0 ? cosine : quarter == 1 ? -sine : -cosine;
    *im = quarter == 0 ? -sine : quarter == 1 ? -cosine : sine;
}

/* Multiply by the window, and shift so that the greatest sample has 28 bits; returns the shift. */
static TS_APART int32_t window(ts_bin *x)
{
    const int32_t *weight = model_window;
    uint32_t bits = 1;
    int32_t shift, factor;
    for (ts_bin *pair = x; pair < x + MODEL_WIN_LENGTH / 2; pair++)
        for (int part = 0; part < 2; part++) {
            int32_t value = (int32_t)(((int64_t)pair->part[part] * *weight++ + (1 << 26)) >> 27);
            bits |= (uint32_t)(value ^ value >> 31);
            pair->part[part] = value;
        }
#if MODEL_WIN_LENGTH % 2
    ts_bin *last = x + MODEL_WIN_LENGTH / 2;
    last->part[0] = (int32_t)(((int64_t)last->part[0] * *weight + (1 << 26)) >> 27);
    last->part[1] = 0;
    bits |= (uint32_t)(last->part[0] ^ last->part[0] >> 31);
#endif
    shift = leading_zeros(bits) - 36;
    shift = shift < MODEL_GREATEST_SHIFT ? shift : MODEL_GREATEST_SHIFT;
    factor = (int32_t)1 << shift;
    for (ts_bin *pair = x; pair < x + (MODEL_WIN_LENGTH + 1) / 2; pair++) {
        pair->part[0] *= factor;
        pair->part[1] *= factor;
    }
    for (ts_bin *pair = x + (MODEL_WIN_LENGTH + 1) / 2; pair < x + TS_POINTS; pair++)
        pair->part[0] = pair->part[1] = 0;
    return shift;
}

/* A stage of radix 4 of the FFT, in Stockham's order; divides by 4. */
static TS_APART void stage(const ts_bin *restrict x, ts_bin *restrict y, int32_t stride)
{
    const int32_t quarter = TS_POINTS / 4;
    for (int32_t first = 0; first < quarter; first += stride) {
        int32_t turns[6];
        for (int32_t i = 0; i < 3; i++)
            turn(2 * (i + 1) * first, &turns[2 * i], &turns[2 * i + 1]);
        for (int32_t q = first; q < first + stride; q++) {
            const int32_t *a = x[q].part, *b = x[q + quarter].part;
            const int32_t *c = x[q + 2 * quarter].part, *d = x[q + 3 * quarter].part;
            ts_bin *to = y + q + 3 * first;
            int32_t sum_re = a[0] + c[0], sum_im = a[1] + c[1], dif_re = a[0] - c[0], dif_im = a[1] - c[1];
            int32_t odd_re = b[0] + d[0], odd_im = b[1] + d[1], rot_re = b[1] - d[1], rot_im = d[0] - b[0];
            int32_t re[3] = {dif_re + rot_re, sum_re - odd_re, dif_re - rot_re};
            int32_t im[3] = {dif_im + rot_im, sum_im - odd_im, dif_im - rot_im};
            to[0].part[0] = quarter_of(sum_re + odd_re);
            to[0].part[1] = quarter_of(sum_im + odd_im);
            for (int32_t i = 0; i < 3; i++) {
                int32_t cosine = turns[2 * i], sine = turns[2 * i + 1];
                to += stride;
                to->part[0] = first ? rotate(re[i], cosine, im[i], -sine) : quarter_of(re[i]);
                to->part[1] = first ? rotate(re[i], sine, im[i], cosine) : quarter_of(im[i]);
            }
        }
    }
}

/* The last stage where two halves are left; divides by 2. */
static TS_APART void last_stage(const ts_bin *restrict x, ts_bin *restrict y)
{
    for (int32_t i = 0; i < TS_POINTS / 2; i++)
        for (int part = 0; part < 2; part++) {
            int32_t a = x[i].part[part], b = x[i + TS_POINTS / 2].part[part];
            y[i].part[part] = (a + b + 1) >> 1;
            y[i + TS_POINTS / 2].part[part] = (a - b + 1) >> 1;
        }
}

static uint64_t power_of(int32_t re, int32_t im)
{
    uint64_t power = (uint64_t)((int64_t)re * re + (int64_t)im * im);
    return (power + (1 << 13)) >> 14;
}

/* From the FFT of the pairs of a real signal to the powers of its bins, in place: [TS_POINTS + 1]. */
static TS_APART void spectrum(ts_bin *x)
{
    ts_bin *middle = &x[TS_POINTS / 2];
    int32_t even = 2 * (x[0].part[0] + x[0].part[1]), odd = 2 * (x[0].part[0] - x[0].part[1]);
    x[0].power = power_of(even, 0);
    x[TS_POINTS].power = power_of(odd, 0);
    middle->power = power_of(2 * middle->part[0], 2 * middle->part[1]);
    for (int32_t k = 1; k < TS_POINTS / 2; k++) {
        ts_bin *low = &x[k], *high = &x[TS_POINTS - k];
        int32_t even_re = low->part[0] + high->part[0], even_im = low->part[1] - high->part[1];
        int32_t odd_re = low->part[1] + high->part[1], odd_im = high->part[0] - low->part[0];
        int32_t cosine = model_cosine[k], sine = -model_cosine[MODEL_N_FFT / 4 - k];
        int64_t re = (int64_t)odd_re * cosine - (int64_t)odd_im * sine;
        int64_t im = (int64_t)odd_re * sine + (int64_t)odd_im * cosine;
        int32_t turned_re = (int32_t)((re + (1 << 30)) >> 31), turned_im = (int32_t)((im + (1 << 30)) >> 31);
        low->power = power_of(even_re + turned_re, even_im + turned_im);
        high->power = power_of(even_re - turned_re, turned_im - even_im);
    }
}

/* log2 of a positive number with 16 bits after the point. */
static int32_t logarithm(uint64_t value)
{
    int zeros = leading_zeros(value);
    uint32_t mantissa = (uint32_t)((value << zeros) >> 32); /* its highest bit is set */
    uint32_t index = mantissa >> 25 & 63, rest = mantissa >> 9 & 0xffff;
    int32_t low = model_log2[index], step = model_log2[index + 1] - low;
    return (63 - zeros) * 65536 + low + ((step * (int32_t)rest + (1 << 15)) >> 16);
}

static TS_APART uint64_t weighted_sum(const ts_bin *bin, const uint16_t *weight, int32_t count)
{
    uint64_t sum = 0;
    for (; count; count--)
        sum += bin++->power * *weight++;
    return sum;
}

/* Powers to the integers of the network's input. */
static void bands_of(const ts_bin *power, int32_t shift, uint8_t *bands)
{
    const uint16_t *weight = model_mel_weight;
    const int32_t down = 2 * (MODEL_GREATEST_SHIFT - shift);
    const uint64_t offset = ((uint64_t)MODEL_FIXED_OFFSET + (down ? (uint64_t)1 << (down - 1) : 0)) >> down;
    for (int32_t band = 0; band < MODEL_N_MELS; band++) {
        uint64_t sum = weighted_sum(power + model_mel_first[band], weight, model_mel_count[band]);
        weight += model_mel_count[band];
#if MODEL_LOG_FLOOR
        sum = sum > offset ? sum : offset;
#else
        sum += offset;
#endif
        int32_t octaves = logarithm(sum ? sum : 1) - shift * 131072;
        int64_t steps = ((int64_t)octaves * MODEL_LOG_MULTIPLIER + MODEL_LOG_CONSTANT) >> MODEL_LOG_SHIFT;
        bands[band] = (uint8_t)(steps < 0 ? 0 : steps > 255 ? 255 : steps);
    }
}

void ts_bands(ts_bin *work, uint8_t *bands)
{
    ts_bin *x = work, *y = work + TS_POINTS + 1, *other;
    int32_t stride = 1, shift = window(x);
    for (; 4 * stride <= TS_POINTS; stride *= 4) {
        stage(x, y, stride);
        other = x, x = y, y = other;
    }
    if (stride < TS_POINTS) {
        last_stage(x, y);
        x = y;
    }
    spectrum(x);
    bands_of(x, shift, bands);
}

int32_t ts_integer_of(float x, int bits)
{
    uint32_t word, mantissa;
    memcpy(&word, &x, sizeof word);
    int32_t shift = 150 - (int32_t)(word >> 23 & 255) - bits; /* x = mantissa / 2^(shift + bits) */
    mantissa = (word & 0x7fffff) | 0x800000;
    if ((word & 0x7fffffff) >= 0x7f800000) /* NaN or infinite */
        return 0;
    if (shift < -7)
        return word >> 31 ? INT32_MIN : INT32_MAX;
    if (shift > 24)
        return 0;
    mantissa = shift > 0 ? (mantissa + ((uint32_t)1 << (shift - 1))) >> shift : mantissa << -shift;
    return word >> 31 ? -(int32_t)mantissa : (int32_t)mantissa;
}

float ts_float_of_q31(uint32_t value)
{
    float x;
    uint32_t word = 0;
    if (value) {
        uint32_t zeros = (uint32_t)leading_zeros(value) - 32, mantissa = value << zeros;
        word = ((126 - zeros) << 23) + (mantissa >> 8) + (mantissa >> 7 & 1); /* a carry adds to the exponent */
    }
    memcpy(&x, &word, sizeof x);
    return x;
}
