/* The front end, once for each instruction set: the including file defines TS_NAME and TS_TARGET. */

/* Two floats a step apart become the real and the imaginary part of a complex number. */
TS_TARGET static void TS_NAME(window)(const float *restrict samples, float *restrict re, float *restrict im)
{
    for (int i = 0; i < MODEL_WIN_LENGTH / 2; i++) {
        re[i] = samples[2 * i] * model_window[2 * i];
        im[i] = samples[2 * i + 1] * model_window[2 * i + 1];
    }
    for (int i = MODEL_WIN_LENGTH / 2; i < TS_POINTS; i++)
        re[i] = im[i] = 0.0f;
#if MODEL_WIN_LENGTH % 2
    re[MODEL_WIN_LENGTH / 2] = samples[MODEL_WIN_LENGTH - 1] * model_window[MODEL_WIN_LENGTH - 1];
#endif
}

/* A radix-4 butterfly at index `a` of the input and `y` of the output (Stockham's order). */
#define TS_BUTTERFLY(a, y, quarter, step)                                                                  \
    do {                                                                                                   \
        float sum_re = xr[a] + xr[(a) + 2 * (quarter)], sum_im = xi[a] + xi[(a) + 2 * (quarter)];          \
        float dif_re = xr[a] - xr[(a) + 2 * (quarter)], dif_im = xi[a] - xi[(a) + 2 * (quarter)];          \
        float odd_re = xr[(a) + (quarter)] + xr[(a) + 3 * (quarter)];                                      \
        float odd_im = xi[(a) + (quarter)] + xi[(a) + 3 * (quarter)];                                      \
        float rot_re = xi[(a) + (quarter)] - xi[(a) + 3 * (quarter)];                                      \
        float rot_im = xr[(a) + 3 * (quarter)] - xr[(a) + (quarter)];                                      \
        float b_re = dif_re + rot_re, b_im = dif_im + rot_im;                                              \
        float c_re = sum_re - odd_re, c_im = sum_im - odd_im;                                              \
        float d_re = dif_re - rot_re, d_im = dif_im - rot_im;                                              \
        yr[y] = sum_re + odd_re;                                                                           \
        yi[y] = sum_im + odd_im;                                                                           \
        yr[(y) + (step)] = b_re * w1r - b_im * w1i;                                                        \
        yi[(y) + (step)] = b_re * w1i + b_im * w1r;                                                        \
        yr[(y) + 2 * (step)] = c_re * w2r - c_im * w2i;                                                    \
        yi[(y) + 2 * (step)] = c_re * w2i + c_im * w2r;                                                    \
        yr[(y) + 3 * (step)] = d_re * w3r - d_im * w3i;                                                    \
        yi[(y) + 3 * (step)] = d_re * w3i + d_im * w3r;                                                    \
    } while (0)

#define TS_ROTATIONS(k)                                                                                    \
    float w1r = model_twiddle[k], w1i = model_twiddle[TS_POINTS / 4 + (k)];                                \
    float w2r = w1r * w1r - w1i * w1i, w2i = 2.0f * w1r * w1i;                                             \
    float w3r = w1r * w2r - w1i * w2i, w3i = w1r * w2i + w1i * w2r

TS_TARGET static void TS_NAME(first_stage)(const float *restrict xr, const float *restrict xi,
                                           float *restrict yr, float *restrict yi)
{
    for (int p = 0; p < TS_POINTS / 4; p++) {
        TS_ROTATIONS(p);
        TS_BUTTERFLY(p, 4 * p, TS_POINTS / 4, 1);
    }
}

TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(stage_of)(const float *restrict xr, const float *restrict xi, float *restrict yr, float *restrict yi,
                  const int stride)
{
    for (int p = 0; p < TS_POINTS / 4 / stride; p++) {
        TS_ROTATIONS(p * stride);
        for (int q = 0; q < stride; q++)
            TS_BUTTERFLY(p * stride + q, 4 * p * stride + q, TS_POINTS / 4, stride);
    }
}

/* With constant strides the compiler sees that the outputs do not overlap. */
TS_TARGET static void TS_NAME(stage)(const float *restrict xr, const float *restrict xi,
                                     float *restrict yr, float *restrict yi, int stride)
{
    switch (stride) {
    case 4: TS_NAME(stage_of)(xr, xi, yr, yi, 4); break;
    case 16: TS_NAME(stage_of)(xr, xi, yr, yi, 16); break;
    case 64: TS_NAME(stage_of)(xr, xi, yr, yi, 64); break;
    case 256: TS_NAME(stage_of)(xr, xi, yr, yi, 256); break;
    default: TS_NAME(stage_of)(xr, xi, yr, yi, stride); break;
    }
}

TS_TARGET static void TS_NAME(last_stage)(const float *restrict xr, const float *restrict xi,
                                          float *restrict yr, float *restrict yi)
{
    for (int q = 0; q < TS_POINTS / 2; q++) {
        yr[q] = xr[q] + xr[q + TS_POINTS / 2];
        yi[q] = xi[q] + xi[q + TS_POINTS / 2];
        yr[q + TS_POINTS / 2] = xr[q] - xr[q + TS_POINTS / 2];
        yi[q + TS_POINTS / 2] = xi[q] - xi[q + TS_POINTS / 2];
    }
}

/* The power of every bin from 0 to n_fft / 2 of a real signal, from the FFT of its pairs. */
TS_TARGET static void TS_NAME(power)(const float *restrict re, const float *restrict im,
                                     float *restrict power)
{
    const float *cosine = model_split, *sine = model_split + TS_POINTS / 2 + 1;
    float even = re[0] + im[0], odd = re[0] - im[0];
    float *restrict low = power, *restrict high = power + TS_POINTS; /* they meet in the middle, below */
    low[0] = even * even;
    high[0] = odd * odd;
    for (int k = 1; k < TS_POINTS / 2; k++) {
        float er = 0.5f * (re[k] + re[TS_POINTS - k]), ei = 0.5f * (im[k] - im[TS_POINTS - k]);
        float or_ = 0.5f * (im[k] + im[TS_POINTS - k]), oi = 0.5f * (re[TS_POINTS - k] - re[k]);
        float tr = or_ * cosine[k] - oi * sine[k], ti = or_ * sine[k] + oi * cosine[k];
        float ar = er + tr, ai = ei + ti, br = er - tr, bi = ti - ei;
        low[k] = ar * ar + ai * ai;
        high[-k] = br * br + bi * bi;
    }
    power[TS_POINTS / 2] = re[TS_POINTS / 2] * re[TS_POINTS / 2] + im[TS_POINTS / 2] * im[TS_POINTS / 2];
}

/* Bands of bins; four sums, added at the end, so that vectors can hold them. */
TS_TARGET static void TS_NAME(mel)(const float *restrict power, float *restrict bands)
{
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

/* Natural logarithm of a positive number: 2 artanh(s) of its mantissa, s = f / (2 + f), and its exponent. */
TS_TARGET static void TS_NAME(logarithm)(float *bands)
{
    for (int band = 0; band < MODEL_N_MELS; band++) {
        union {
            float real;
            uint32_t bits;
        } x;
#if MODEL_LOG_FLOOR
        x.real = bands[band] > MODEL_LOG_OFFSET ? bands[band] : MODEL_LOG_OFFSET;
#else
        x.real = bands[band] + MODEL_LOG_OFFSET;
#endif
        int32_t exponent = (int32_t)(x.bits - 0x3f2aaaabu) >> 23; /* the mantissa lies in 2/3 .. 4/3 */
        x.bits -= (uint32_t)exponent << 23;
        float f = x.real - 1.0f, s = f / (2.0f + f), z = s * s;
        float series = 1.0f + z * (0.33333333f + z * (0.2f + z * (0.14285714f + z * 0.11111111f)));
        float log = (float)exponent * 0.69314718f + 2.0f * s * series;
        bands[band] = (log - MODEL_MEAN) / MODEL_STD;
    }
}

TS_TARGET void TS_NAME(column)(const float *samples, float *log_mel, float *work)
{
    float *xr = work, *xi = xr + TS_POINTS, *yr = xi + TS_POINTS, *yi = yr + TS_POINTS, *other;
    int stride = 4;
    TS_NAME(window)(samples, xr, xi);
    TS_NAME(first_stage)(xr, xi, yr, yi);
    for (; stride <= TS_POINTS / 4; stride *= 4) {
        other = xr, xr = yr, yr = other;
        other = xi, xi = yi, yi = other;
        TS_NAME(stage)(xr, xi, yr, yi, stride);
    }
    if (stride < TS_POINTS) {
        other = xr, xr = yr, yr = other;
        other = xi, xi = yi, yi = other;
        TS_NAME(last_stage)(xr, xi, yr, yi);
    }
    /* the power needs one bin more than half of the work, and padding for the last group of a band */
    float *power = yr == work ? work + 2 * TS_POINTS : work;
    TS_NAME(power)(yr, yi, power);
    TS_NAME(mel)(power, log_mel);
    TS_NAME(logarithm)(log_mel);
}

#undef TS_BUTTERFLY
#undef TS_ROTATIONS
