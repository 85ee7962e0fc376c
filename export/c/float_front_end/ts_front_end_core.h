/* The front end, once for each instruction set. The including file defines TS_NAME and TS_TARGET; a vector
   TS_REAL of TS_LANES floats with F_LOAD, F_STORE, F_SET, F_REVERSE and F_PAIRS (two vectors of pairs to their
   first and second members); F_ROTATIONS and F_TURN; TS_NARROW_TARGET for what runs in 256 bits at most; and,
   beside TS_NAME, transpose() of 16 x 16 floats and mel().

   The complex FFT of TS_POINTS = ROWS * 16 points: 16 transforms of ROWS points side by side, a rotation, and
   ROWS transforms of 16 points; between them 16 x 16 points are transposed, so that vectors hold neighbours.
   Many rows lie at TS_PLACE, so that the transforms of 16 points need no second array: with it, the arrays and
   tables of a frame would be too much for the first cache. */

#define TS_LAST_QUARTER_IS_ZERO (4 * MODEL_WIN_LENGTH <= 3 * MODEL_N_FFT)
#define TS_EACH for (int i = 0; i < 16; i += TS_LANES)

/* Windowed samples of TS_LANES points from `point` on: two neighbours become the real and the imaginary part. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(framed)(const float *samples, int point, TS_REAL *re, TS_REAL *im)
{
    const float *from = samples + 2 * point, *window = model_window + 2 * point;
    if (2 * (point + TS_LANES) <= MODEL_WIN_LENGTH) {
        TS_REAL a = F_LOAD(from) * F_LOAD(window), b = F_LOAD(from + TS_LANES) * F_LOAD(window + TS_LANES);
        F_PAIRS(a, b, *re, *im);
        return;
    }
    float pairs[2 * TS_LANES] = {0.0f};
    for (int i = 2 * point; i < MODEL_WIN_LENGTH; i++)
        pairs[i - 2 * point] = samples[i] * model_window[i];
    F_PAIRS(F_LOAD(pairs), F_LOAD(pairs + TS_LANES), *re, *im);
}

/* The sums of a radix-4 butterfly of a, b, c and d; `d_is_zero` where d was not even computed. */
#define TS_SUMS(d_is_zero)                                                                                 \
    TS_REAL sum_re = a_re + c_re, sum_im = a_im + c_im, dif_re = a_re - c_re, dif_im = a_im - c_im;        \
    TS_REAL odd_re = b_re, odd_im = b_im, rot_re = b_im, rot_im = -b_re;                                   \
    if (!(d_is_zero)) {                                                                                    \
        odd_re = b_re + d_re, odd_im = b_im + d_im;                                                        \
        rot_re = b_im - d_im, rot_im = d_re - b_re;                                                        \
    }

#define TS_ROTATE(re, im, w_re, w_im, to_re, to_im)                                                        \
    to_re = (re) * (w_re) - (im) * (w_im);                                                                 \
    to_im = (re) * (w_im) + (im) * (w_re)

/* A radix-4 butterfly of vectors, in place; w: the rotations of three of its results. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(butterfly)(TS_REAL *re, TS_REAL *im, const float *w, const int turned, const int d_is_zero)
{
    TS_REAL a_re = re[0], a_im = im[0], b_re = re[1], b_im = im[1];
    TS_REAL c_re = re[2], c_im = im[2], d_re = re[3], d_im = im[3];
    TS_SUMS(d_is_zero)
    re[0] = sum_re + odd_re, im[0] = sum_im + odd_im;
    re[1] = dif_re + rot_re, im[1] = dif_im + rot_im;
    re[2] = sum_re - odd_re, im[2] = sum_im - odd_im;
    re[3] = dif_re - rot_re, im[3] = dif_im - rot_im;
    if (!turned)
        return;
    TS_UNROLL
    for (int k = 1; k < 4; k++) {
        TS_REAL w_re = F_SET(w[2 * k - 2]), w_im = F_SET(w[2 * k - 1]), to_re, to_im;
        TS_ROTATE(re[k], im[k], w_re, w_im, to_re, to_im);
        re[k] = to_re, im[k] = to_im;
    }
}

/* Rows `row`, row + step, ... from `i` on, to and from vectors; place: where a row lies. */
#define TS_GET(xr, xi, place, row, step, i, re, im, count)                                                 \
    TS_UNROLL                                                                                              \
    for (int k = 0; k < (count); k++) {                                                                    \
        (re)[k] = F_LOAD((xr) + 16 * place((row) + k * (step)) + (i));                                     \
        (im)[k] = F_LOAD((xi) + 16 * place((row) + k * (step)) + (i));                                     \
    }
#define TS_SET(yr, yi, place, row, step, i, re, im, count)                                                 \
    TS_UNROLL                                                                                              \
    for (int k = 0; k < (count); k++) {                                                                    \
        F_STORE((yr) + 16 * place((row) + k * (step)) + (i), (re)[k]);                                     \
        F_STORE((yi) + 16 * place((row) + k * (step)) + (i), (im)[k]);                                     \
    }
#define TS_AS_IS(row) (row)

/* A stage of the transforms of ROWS points, in Stockham's order. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(stage)(const float *restrict xr, const float *restrict xi, float *restrict yr, float *restrict yi,
               const int stride)
{
    const int quarter = TS_ROWS / 4;
    for (int p = 0; p < quarter / stride; p++) {
        F_ROTATIONS(w, p * stride);
        for (int q = 0; q < stride; q++)
            TS_EACH
            {
                TS_REAL re[4], im[4];
                TS_GET(xr, xi, TS_PLACE, p * stride + q, quarter, i, re, im, 4)
                if (p)
                    TS_NAME(butterfly)(re, im, w, 1, 0);
                else
                    TS_NAME(butterfly)(re, im, w, 0, 0);
                TS_SET(yr, yi, TS_PLACE, 4 * p * stride + q, stride, i, re, im, 4)
            }
    }
}

/* Rotate rows between the transforms of ROWS points and those of 16. */
#define TS_TURN(row, step, i, re, im, count)                                                               \
    TS_UNROLL                                                                                              \
    for (int k = 0; k < (count); k++) {                                                                    \
        TS_REAL w_re, w_im, to_re, to_im;                                                                  \
        F_TURN((row) + k * (step), i, w_re, w_im);                                                         \
        TS_ROTATE((re)[k], (im)[k], w_re, w_im, to_re, to_im);                                             \
        (re)[k] = to_re, (im)[k] = to_im;                                                                  \
    }

#if TS_ROWS >= 16
/* Butterfly p of the first stage, of windowed samples; its results are the rows of y. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(first_stage)(const float *samples, int p, float *restrict yr, float *restrict yi)
{
    F_ROTATIONS(w, p);
    TS_EACH
    {
        TS_REAL re[4], im[4];
        TS_UNROLL
        for (int k = 0; k < (TS_LAST_QUARTER_IS_ZERO ? 3 : 4); k++)
            TS_NAME(framed)(samples, 16 * (p + k * (TS_ROWS / 4)) + i, &re[k], &im[k]);
        if (TS_LAST_QUARTER_IS_ZERO)
            re[3] = re[0], im[3] = im[0]; /* not used */
        if (p)
            TS_NAME(butterfly)(re, im, w, 1, TS_LAST_QUARTER_IS_ZERO);
        else
            TS_NAME(butterfly)(re, im, w, 0, TS_LAST_QUARTER_IS_ZERO);
        TS_SET(yr, yi, TS_AS_IS, 0, 1, i, re, im, 4)
    }
}

/* The first stage, and the second one where there are rows for it; returns the stride of the next one. */
TS_TARGET static int TS_NAME(first_stages)(const float *samples, float *restrict yr, float *restrict yi,
                                           float *restrict block)
{
#if TS_ROWS < 64
    (void)block;
    for (int p = 0; p < TS_ROWS / 4; p++)
        TS_NAME(first_stage)(samples, p, yr + 64 * p, yi + 64 * p);
    return 4;
#else
    /* 16 rows of the second stage need 16 of the first one, which the cache still holds. */
    float *re_of = block, *im_of = block + 256;
    for (int p = 0; p < TS_ROWS / 16; p++) {
        for (int k = 0; k < 4; k++)
            TS_NAME(first_stage)(samples, p + k * (TS_ROWS / 16), re_of + 64 * k, im_of + 64 * k);
        F_ROTATIONS(w, 4 * p);
        for (int q = 0; q < 4; q++)
            TS_EACH
            {
                TS_REAL re[4], im[4];
                TS_GET(re_of, im_of, TS_AS_IS, q, 4, i, re, im, 4)
                if (p)
                    TS_NAME(butterfly)(re, im, w, 1, 0);
                else
                    TS_NAME(butterfly)(re, im, w, 0, 0);
                TS_SET(yr, yi, TS_PLACE, 16 * p + q, 4, i, re, im, 4)
            }
    }
    return 16;
#endif
}

#if TS_ROWS_ARE_POWER_OF_FOUR
/* The last stage, of radix 4, and the rotation, in place. */
TS_TARGET static void TS_NAME(last_stage)(float *restrict xr, float *restrict xi)
{
    const int quarter = TS_ROWS / 4;
    for (int q = 0; q < quarter; q++)
        TS_EACH
        {
            TS_REAL re[4], im[4];
            TS_GET(xr, xi, TS_PLACE, q, quarter, i, re, im, 4)
            TS_NAME(butterfly)(re, im, NULL, 0, 0);
            TS_TURN(q, quarter, i, re, im, 4)
            TS_SET(xr, xi, TS_PLACE, q, quarter, i, re, im, 4)
        }
}

#else
/* The last two stages, of radix 4 and of radix 2, and the rotation, in place. */
TS_TARGET static void TS_NAME(last_stage)(float *restrict xr, float *restrict xi)
{
    const int stride = TS_ROWS / 8;
    F_ROTATIONS(w, stride);
    for (int q = 0; q < stride; q++)
        TS_EACH
        {
            TS_REAL re[4], im[4], other_re[4], other_im[4];
            TS_GET(xr, xi, TS_PLACE, q, 2 * stride, i, re, im, 4)
            TS_GET(xr, xi, TS_PLACE, stride + q, 2 * stride, i, other_re, other_im, 4)
            TS_NAME(butterfly)(re, im, w, 0, 0);
            TS_NAME(butterfly)(other_re, other_im, w, 1, 0);
            TS_UNROLL
            for (int k = 0; k < 4; k++) {
                TS_REAL a_re = re[k], a_im = im[k], b_re = other_re[k], b_im = other_im[k];
                re[k] = a_re + b_re, im[k] = a_im + b_im;
                other_re[k] = a_re - b_re, other_im[k] = a_im - b_im;
            }
            TS_TURN(q, stride, i, re, im, 4)
            TS_TURN(4 * stride + q, stride, i, other_re, other_im, 4)
            TS_SET(xr, xi, TS_PLACE, q, stride, i, re, im, 4)
            TS_SET(xr, xi, TS_PLACE, 4 * stride + q, stride, i, other_re, other_im, 4)
        }
}
#endif
#endif

/* The transforms of 16 points, of `count` rows side by side: [16][16] to rows of the result. */
TS_TARGET static void TS_NAME(sixteen)(const float *restrict xr, const float *restrict xi,
                                       float *restrict yr, float *restrict yi, const int count)
{
    for (int i = 0; i < count; i += TS_LANES) {
        TS_REAL re[4][4], im[4][4];
        TS_UNROLL
        for (int p = 0; p < 4; p++) {
            TS_GET(xr, xi, TS_AS_IS, p, 4, i, re[p], im[p], 4)
            if (p)
                TS_NAME(butterfly)(re[p], im[p], ts_sixteenths[p - 1], 1, 0);
            else
                TS_NAME(butterfly)(re[p], im[p], NULL, 0, 0);
        }
        TS_UNROLL
        for (int q = 0; q < 4; q++) {
            TS_REAL of_re[4] = {re[0][q], re[1][q], re[2][q], re[3][q]};
            TS_REAL of_im[4] = {im[0][q], im[1][q], im[2][q], im[3][q]};
            TS_NAME(butterfly)(of_re, of_im, NULL, 0, 0);
            TS_UNROLL
            for (int k = 0; k < 4; k++) {
                F_STORE(yr + TS_ROWS * (q + 4 * k) + i, of_re[k]);
                F_STORE(yi + TS_ROWS * (q + 4 * k) + i, of_im[k]);
            }
        }
    }
}

/* Transpose, and transform by 16 points: [ROWS][16] to the spectrum in its natural order, which may take the
   place of the rows where TS_IN_PLACE. */
TS_TARGET static void TS_NAME(across)(const float *xr, const float *xi, float *yr, float *yi, float *block)
{
    const int count = TS_ROWS < 16 ? TS_ROWS : 16;
    for (int row = 0; row < TS_ROWS; row += count) {
        TS_NAME(transpose)(xr + 16 * TS_PLACE(row), block);
        TS_NAME(transpose)(xi + 16 * TS_PLACE(row), block + 256);
        TS_NAME(sixteen)(block, block + 256, yr + row, yi + row, count);
    }
}

#if TS_ROWS < 16
/* All stages where there are few rows, and the rotation; the result lies in y. */
TS_TARGET static void TS_NAME(few_rows)(const float *samples, float *xr, float *xi, float *yr, float *yi)
{
    const int apart = TS_ROWS_ARE_POWER_OF_FOUR ? TS_ROWS : TS_ROWS / 2; /* rows of a radix-2 butterfly */
    TS_REAL re[2], im[2];
    for (int row = 0; row < TS_ROWS; row++)
        TS_EACH
        {
            TS_NAME(framed)(samples, 16 * row + i, re, im);
            TS_SET(xr, xi, TS_PLACE, row, 1, i, re, im, 1)
        }
    if (TS_ROWS >= 4)
        TS_NAME(stage)(xr, xi, yr, yi, 1);
    else
        memcpy(yr, xr, 16 * TS_ROWS * sizeof *xr), memcpy(yi, xi, 16 * TS_ROWS * sizeof *xi);
    for (int row = 0; row < apart; row++)
        TS_EACH
        {
            TS_GET(yr, yi, TS_PLACE, row, apart, i, re, im, TS_ROWS / apart)
            if (apart < TS_ROWS) {
                TS_REAL a_re = re[0], a_im = im[0];
                re[0] = a_re + re[1], im[0] = a_im + im[1];
                re[1] = a_re - re[1], im[1] = a_im - im[1];
            }
            TS_TURN(row, apart, i, re, im, TS_ROWS / apart)
            TS_SET(yr, yi, TS_PLACE, row, apart, i, re, im, TS_ROWS / apart)
        }
}
#endif

/* The power of every bin from 0 to n_fft / 2 of a real signal, or its magnitude, from the FFT of its pairs.
   The window is half of what it should be, which saves the halves of the sums and differences here. */
TS_TARGET static void TS_NAME(power)(const float *restrict re, const float *restrict im,
                                     float *restrict power)
{
    const float *cosine = model_split, *sine = model_split + TS_POINTS / 2;
    float even = re[0] + im[0], odd = re[0] - im[0];
    float *low = power, *high = power + TS_POINTS; /* they meet in the middle, below */
    for (int k = TS_LANES == 1; k < TS_POINTS / 2; k += TS_LANES) { /* a vector computes bin 0 for nothing */
        int mirror = TS_POINTS - k - (TS_LANES - 1);
        TS_REAL kr = F_LOAD(re + k), ki = F_LOAD(im + k);
        TS_REAL mr = F_REVERSE(F_LOAD(re + mirror)), mi = F_REVERSE(F_LOAD(im + mirror));
        TS_REAL c = F_LOAD(cosine + k), s = F_LOAD(sine + k);
        TS_REAL er = kr + mr, ei = ki - mi, or_ = ki + mi, oi = mr - kr;
        TS_REAL tr = or_ * c - oi * s, ti = or_ * s + oi * c;
        TS_REAL ar = er + tr, ai = ei + ti, br = er - tr, bi = ti - ei;
        TS_REAL above = br * br + bi * bi;
        F_STORE(low + k, ar * ar + ai * ai);
        F_STORE(high - k - (TS_LANES - 1), F_REVERSE(above));
    }
    low[0] = 4.0f * (even * even);
    high[0] = 4.0f * (odd * odd);
    even = re[TS_POINTS / 2], odd = im[TS_POINTS / 2];
    power[TS_POINTS / 2] = 4.0f * (even * even + odd * odd);
#if MODEL_MAGNITUDE
    for (int k = 0; k <= TS_POINTS; k++)
        power[k] = sqrtf(power[k]);
#endif
}

/* Natural logarithm of a positive number: 2 artanh(s) of its mantissa, s = f / (2 + f), and its exponent. */
TS_NARROW_TARGET static void TS_NAME(logarithm)(float *bands, int count)
{
    for (int band = 0; band < count; band++) {
        union {
            float real;
            uint32_t bits;
        } x;
#if MODEL_LOG_FLOOR
        x.real = bands[band] > MODEL_LOG_OFFSET ? bands[band] : MODEL_LOG_OFFSET;
#else
        x.real = bands[band] + MODEL_LOG_OFFSET;
        x.bits &= 0x7fffffffu; /* it is positive; of NaN, kernels differ in the sign */
#endif
        int32_t exponent = (int32_t)(x.bits - 0x3f2aaaabu) >> 23; /* the mantissa lies in 2/3 .. 4/3 */
        x.bits -= (uint32_t)exponent << 23;
        float f = x.real - 1.0f, s = f / (2.0f + f), z = s * s;
        float series = 1.0f + z * (0.33333333f + z * (0.2f + z * (0.14285714f + z * 0.11111111f)));
        float log = (float)exponent * 0.69314718f + 2.0f * s * series;
        bands[band] = (log - MODEL_MEAN) * (1.0f / MODEL_STD);
    }
}

TS_TARGET static void TS_NAME(spectrum)(const float *samples, float *power, float *work)
{
    /* Were they whole pages apart, a processor would take a store to one for a store to what it reads next. */
    enum { APART = TS_POINTS + 80 };
    float *xr = work, *xi = xr + APART, *yr = xi + APART, *yi = yr + APART;
    float *block = yi + TS_POINTS + 16; /* a vector of bin 0 reads past the end of an array */
#if TS_ROWS >= 16
    for (int stride = TS_NAME(first_stages)(samples, xr, xi, block); 8 * stride < TS_ROWS; stride *= 4) {
        TS_NAME(stage)(xr, xi, yr, yi, stride);
        float *other = xr;
        xr = yr, yr = other;
        other = xi, xi = yi, yi = other;
    }
    TS_NAME(last_stage)(xr, xi);
#else
    TS_NAME(few_rows)(samples, yr, yi, xr, xi);
#endif
    if (TS_IN_PLACE)
        yr = xr, yi = xi;
    TS_NAME(across)(xr, xi, yr, yi, block);
    TS_NAME(power)(yr, yi, power);
}

TS_NARROW_TARGET static void TS_NAME(log_mel)(const float *power, int frames, float *log_mel, long row,
                                              float *bands)
{
    TS_NAME(mel)(power, frames, bands);
    TS_NAME(logarithm)(bands, MODEL_N_MELS * TS_TOGETHER);
    if (frames == TS_TOGETHER) {
        for (long band = 0; band < MODEL_N_MELS; band++)
            memcpy(log_mel + band * row, bands + band * TS_TOGETHER, TS_TOGETHER * sizeof *bands);
        return;
    }
    for (long band = 0; band < MODEL_N_MELS; band++)
        for (int frame = 0; frame < frames; frame++)
            log_mel[band * row + frame] = bands[band * TS_TOGETHER + frame];
}

const ts_front_end TS_NAME(front_end) = {TS_NAME(spectrum), TS_NAME(log_mel), TS_TOGETHER};

#undef TS_EACH
#undef TS_SUMS
#undef TS_ROTATE
#undef TS_LAST_QUARTER_IS_ZERO
#undef TS_GET
#undef TS_SET
#undef TS_AS_IS
#undef TS_TURN
