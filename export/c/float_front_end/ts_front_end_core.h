/* The front end, once for each instruction set. The including file defines TS_NAME and TS_TARGET; a vector
   TS_REAL of TS_LANES floats with F_LOAD, F_STORE, F_SET, F_REVERSE and F_PAIRS (two vectors of pairs to their
   first and second members); and, beside TS_NAME, transpose() of 16 x 16 floats and mel().

   The complex FFT of TS_POINTS = ROWS * 16 points: 16 transforms of ROWS points side by side, a rotation, and
   ROWS transforms of 16 points; between them 16 x 16 points are transposed, so that vectors hold neighbours. */

#define TS_LAST_QUARTER_IS_ZERO (4 * MODEL_WIN_LENGTH <= 3 * MODEL_N_FFT && TS_ROWS >= 4)
#define TS_STORED (TS_LAST_QUARTER_IS_ZERO ? 3 * TS_POINTS / 4 : TS_POINTS)
#define TS_EACH for (int i = 0; i < 16; i += TS_LANES)

/* Two floats a step apart become the real and the imaginary part of a complex number. */
TS_TARGET static void TS_NAME(window)(const float *restrict samples, float *restrict re, float *restrict im)
{
    enum { PAIRS = MODEL_WIN_LENGTH / 2, WHOLE = PAIRS / TS_LANES * TS_LANES };
    for (int i = 0; i < WHOLE; i += TS_LANES) {
        TS_REAL a = F_LOAD(samples + 2 * i) * F_LOAD(model_window + 2 * i);
        TS_REAL b = F_LOAD(samples + 2 * i + TS_LANES) * F_LOAD(model_window + 2 * i + TS_LANES);
        TS_REAL first, second;
        F_PAIRS(a, b, first, second);
        F_STORE(re + i, first);
        F_STORE(im + i, second);
    }
    for (int i = WHOLE; i < PAIRS; i++) {
        re[i] = samples[2 * i] * model_window[2 * i];
        im[i] = samples[2 * i + 1] * model_window[2 * i + 1];
    }
    if (TS_STORED > PAIRS) {
        memset(re + PAIRS, 0, (TS_STORED - PAIRS) * sizeof *re);
        memset(im + PAIRS, 0, (TS_STORED - PAIRS) * sizeof *im);
    }
#if MODEL_WIN_LENGTH % 2
    re[MODEL_WIN_LENGTH / 2] = samples[MODEL_WIN_LENGTH - 1] * model_window[MODEL_WIN_LENGTH - 1];
#endif
}

/* A radix-4 butterfly of a, b, c and d; `d_is_zero` where d was not even stored. */
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

/* One radix-4 butterfly of 16 neighbours: rows a, a + quarter, ... to rows y, y + step, ... */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(butterfly)(const float *restrict xr, const float *restrict xi, float *restrict yr, float *restrict yi,
                   int a, int y, const int quarter, const int step, const float *w, const int turned,
                   const int d_is_zero)
{
    TS_EACH
    {
        const float *fr = xr + 16 * a + i, *fi = xi + 16 * a + i;
        float *tr = yr + 16 * y + i, *ti = yi + 16 * y + i;
        TS_REAL a_re = F_LOAD(fr), a_im = F_LOAD(fi);
        TS_REAL b_re = F_LOAD(fr + 16 * quarter), b_im = F_LOAD(fi + 16 * quarter);
        TS_REAL c_re = F_LOAD(fr + 32 * quarter), c_im = F_LOAD(fi + 32 * quarter);
        TS_REAL d_re = d_is_zero ? a_re : F_LOAD(fr + 48 * quarter), d_im = d_is_zero ? a_im : F_LOAD(fi + 48 * quarter);
        TS_SUMS(d_is_zero)
        TS_REAL u_re = dif_re + rot_re, u_im = dif_im + rot_im, v_re = sum_re - odd_re, v_im = sum_im - odd_im;
        TS_REAL w_re = dif_re - rot_re, w_im = dif_im - rot_im;
        F_STORE(tr, sum_re + odd_re);
        F_STORE(ti, sum_im + odd_im);
        if (turned) {
            TS_REAL re, im;
            TS_ROTATE(u_re, u_im, F_SET(w[0]), F_SET(w[1]), re, im);
            u_re = re, u_im = im;
            TS_ROTATE(v_re, v_im, F_SET(w[2]), F_SET(w[3]), re, im);
            v_re = re, v_im = im;
            TS_ROTATE(w_re, w_im, F_SET(w[4]), F_SET(w[5]), re, im);
            w_re = re, w_im = im;
        }
        F_STORE(tr + 16 * step, u_re);
        F_STORE(ti + 16 * step, u_im);
        F_STORE(tr + 32 * step, v_re);
        F_STORE(ti + 32 * step, v_im);
        F_STORE(tr + 48 * step, w_re);
        F_STORE(ti + 48 * step, w_im);
    }
}

/* A stage of the transforms of ROWS points, in Stockham's order. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(stage_of)(const float *restrict xr, const float *restrict xi, float *restrict yr, float *restrict yi,
                  const int stride, const int d_is_zero)
{
    const int quarter = TS_ROWS / 4;
    float w[6];
    for (int q = 0; q < stride; q++)
        TS_NAME(butterfly)(xr, xi, yr, yi, q, q, quarter, stride, w, 0, d_is_zero);
    for (int p = 1; p < quarter / stride; p++) {
        w[0] = model_twiddle[16 * p * stride];
        w[1] = model_twiddle[TS_POINTS / 4 + 16 * p * stride];
        w[2] = w[0] * w[0] - w[1] * w[1];
        w[3] = 2.0f * w[0] * w[1];
        w[4] = w[0] * w[2] - w[1] * w[3];
        w[5] = w[0] * w[3] + w[1] * w[2];
        for (int q = 0; q < stride; q++)
            TS_NAME(butterfly)(xr, xi, yr, yi, p * stride + q, 4 * p * stride + q, quarter, stride, w, 1, d_is_zero);
    }
}

/* With constant strides the compiler can plan ahead. */
TS_TARGET static void TS_NAME(stage)(const float *restrict xr, const float *restrict xi,
                                     float *restrict yr, float *restrict yi, int stride)
{
    switch (stride) {
    case 1: TS_NAME(stage_of)(xr, xi, yr, yi, 1, TS_LAST_QUARTER_IS_ZERO); break;
    case 4: TS_NAME(stage_of)(xr, xi, yr, yi, 4, 0); break;
    case 16: TS_NAME(stage_of)(xr, xi, yr, yi, 16, 0); break;
    default: TS_NAME(stage_of)(xr, xi, yr, yi, stride, 0); break;
    }
}

TS_TARGET static void TS_NAME(last_stage)(const float *restrict xr, const float *restrict xi,
                                          float *restrict yr, float *restrict yi)
{
    const int half = TS_POINTS / 2;
    for (int i = 0; i < half; i += TS_LANES) {
        TS_REAL a_re = F_LOAD(xr + i), a_im = F_LOAD(xi + i);
        TS_REAL b_re = F_LOAD(xr + half + i), b_im = F_LOAD(xi + half + i);
        F_STORE(yr + i, a_re + b_re);
        F_STORE(yi + i, a_im + b_im);
        F_STORE(yr + half + i, a_re - b_re);
        F_STORE(yi + half + i, a_im - b_im);
    }
}

/* The transforms of 16 points, of `count` rows side by side: [16][16] to rows of the result. */
TS_TARGET static void TS_NAME(sixteen)(const float *restrict xr, const float *restrict xi,
                                       float *restrict yr, float *restrict yi, const int count)
{
    for (int i = 0; i < count; i += TS_LANES) {
        TS_REAL mr[16], mi[16];
        TS_UNROLL
        for (int p = 0; p < 4; p++) {
            const float *fr = xr + 16 * p + i, *fi = xi + 16 * p + i;
            TS_REAL a_re = F_LOAD(fr), a_im = F_LOAD(fi), b_re = F_LOAD(fr + 64), b_im = F_LOAD(fi + 64);
            TS_REAL c_re = F_LOAD(fr + 128), c_im = F_LOAD(fi + 128);
            TS_REAL d_re = F_LOAD(fr + 192), d_im = F_LOAD(fi + 192);
            TS_SUMS(0)
            TS_REAL u_re = dif_re + rot_re, u_im = dif_im + rot_im;
            TS_REAL v_re = sum_re - odd_re, v_im = sum_im - odd_im;
            TS_REAL w_re = dif_re - rot_re, w_im = dif_im - rot_im;
            mr[4 * p] = sum_re + odd_re;
            mi[4 * p] = sum_im + odd_im;
            mr[4 * p + 1] = u_re, mi[4 * p + 1] = u_im;
            mr[4 * p + 2] = v_re, mi[4 * p + 2] = v_im;
            mr[4 * p + 3] = w_re, mi[4 * p + 3] = w_im;
            if (p) {
                const float *w = ts_sixteenths[p - 1];
                TS_ROTATE(u_re, u_im, F_SET(w[0]), F_SET(w[1]), mr[4 * p + 1], mi[4 * p + 1]);
                TS_ROTATE(v_re, v_im, F_SET(w[2]), F_SET(w[3]), mr[4 * p + 2], mi[4 * p + 2]);
                TS_ROTATE(w_re, w_im, F_SET(w[4]), F_SET(w[5]), mr[4 * p + 3], mi[4 * p + 3]);
            }
        }
        TS_UNROLL
        for (int q = 0; q < 4; q++) {
            TS_REAL a_re = mr[q], a_im = mi[q], b_re = mr[q + 4], b_im = mi[q + 4];
            TS_REAL c_re = mr[q + 8], c_im = mi[q + 8], d_re = mr[q + 12], d_im = mi[q + 12];
            TS_SUMS(0)
            float *tr = yr + TS_ROWS * q + i, *ti = yi + TS_ROWS * q + i;
            F_STORE(tr, sum_re + odd_re);
            F_STORE(ti, sum_im + odd_im);
            F_STORE(tr + 4 * TS_ROWS, dif_re + rot_re);
            F_STORE(ti + 4 * TS_ROWS, dif_im + rot_im);
            F_STORE(tr + 8 * TS_ROWS, sum_re - odd_re);
            F_STORE(ti + 8 * TS_ROWS, sum_im - odd_im);
            F_STORE(tr + 12 * TS_ROWS, dif_re - rot_re);
            F_STORE(ti + 12 * TS_ROWS, dif_im - rot_im);
        }
    }
}

/* Rotate, transpose, and transform by 16 points: [ROWS][16] to the spectrum in its natural order. */
TS_TARGET static void TS_NAME(across)(const float *restrict xr, const float *restrict xi, float *restrict yr,
                                      float *restrict yi, float *restrict block)
{
    const int count = TS_ROWS < 16 ? TS_ROWS : 16;
    float *turned = block, *re = block + 512, *im = block + 768;
    for (int row = 0; row < TS_ROWS; row += count) {
        for (int k = 0; k < count; k++)
            TS_EACH
            {
                TS_REAL x_re = F_LOAD(xr + 16 * (row + k) + i), x_im = F_LOAD(xi + 16 * (row + k) + i), w_re, w_im;
                F_TURN(row + k, i, w_re, w_im);
                TS_REAL t_re, t_im;
                TS_ROTATE(x_re, x_im, w_re, w_im, t_re, t_im);
                F_STORE(turned + 16 * k + i, t_re);
                F_STORE(turned + 256 + 16 * k + i, t_im);
            }
        TS_NAME(transpose)(turned, re);
        TS_NAME(transpose)(turned + 256, im);
        TS_NAME(sixteen)(re, im, yr + row, yi + row, count);
    }
}

/* The power of every bin from 0 to n_fft / 2 of a real signal, from the FFT of its pairs. The window is half
   of what it should be, which saves the halves of the sums and differences here. */
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
}

/* Natural logarithm of a positive number: 2 artanh(s) of its mantissa, s = f / (2 + f), and its exponent. */
TS_TARGET static void TS_NAME(logarithm)(float *bands, int count)
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
    float *xr = work, *xi = xr + TS_POINTS, *yr = xi + TS_POINTS, *yi = yr + TS_POINTS, *other;
    float *block = yi + TS_POINTS + 16; /* a vector of bin 0 reads past the end of y */
    int stride = 1;
    TS_NAME(window)(samples, xr, xi);
    for (; 4 * stride <= TS_ROWS; stride *= 4) {
        TS_NAME(stage)(xr, xi, yr, yi, stride);
        other = xr, xr = yr, yr = other;
        other = xi, xi = yi, yi = other;
    }
    if (stride < TS_ROWS) {
        TS_NAME(last_stage)(xr, xi, yr, yi);
        other = xr, xr = yr, yr = other;
        other = xi, xi = yi, yi = other;
    }
    TS_NAME(across)(xr, xi, yr, yi, block);
    TS_NAME(power)(yr, yi, power);
}

TS_TARGET static void TS_NAME(log_mel)(const float *power, int frames, float *log_mel, long row, float *bands)
{
    TS_NAME(mel)(power, frames, bands);
    TS_NAME(logarithm)(bands, MODEL_N_MELS * TS_TOGETHER);
    for (long band = 0; band < MODEL_N_MELS; band++)
        for (int frame = 0; frame < frames; frame++)
            log_mel[band * row + frame] = bands[band * TS_TOGETHER + frame];
}

const ts_front_end TS_NAME(front_end) = {TS_NAME(spectrum), TS_NAME(log_mel), TS_TOGETHER};

#undef TS_EACH
#undef TS_SUMS
#undef TS_ROTATE
#undef TS_LAST_QUARTER_IS_ZERO
#undef TS_STORED
