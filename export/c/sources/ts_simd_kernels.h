/* The element-wise operators, the means and the quantization: once for each instruction set. */

/* A vector of a sum `q * first + addend` in float32: see off_ties. */
TS_TARGET static void TS_NAME(add)(const ts_add *op, const uint8_t *first, const uint8_t *second, uint8_t *out)
{
    int32_t channels = op->shape.channels, width = op->shape.width, height = op->shape.height;
    if (!op->sum.off_ties) {
        ts_portable.add(op, first, second, out);
        return;
    }
    if (op->across && op->along == channels && op->down == width * channels) { /* one long row */
        channels *= width * height;
        width = height = 1;
    }
    float step = ts_float_of(1, op->sum.shift);
    VF a = V_SET_PS(op->sum.first * step), b = V_SET_PS(op->sum.second * step);
    VF offset = V_SET_PS(op->sum.offset * step - 0.5f);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++, first += channels, out += channels) {
            const uint8_t *other = second + (size_t)y * op->down + (size_t)x * op->along;
            VF repeated = V_FMA(V_FLOAT(V_SET(*other)), b, offset);
            for (int32_t c = 0; c < channels; c += 4 * LANES) {
                VI sums[4];
                TS_UNROLL
                for (int32_t i = 0; i < 4; i++) {
                    int32_t at = c + i * LANES < channels ? c + i * LANES : c;
                    VF addend = op->across ? V_FMA(V_FLOAT(V_LOAD_BYTES(other + at)), b, offset) : repeated;
                    sums[i] = V_ROUND(V_FMA(V_FLOAT(V_LOAD_BYTES(first + at)), a, addend));
                }
                VB bytes = V_PACK(sums[0], sums[1], sums[2], sums[3]);
                bytes = V_ORDER(V_MIN_BYTES(V_MAX_BYTES(bytes, V_SET_BYTES(op->low)), V_SET_BYTES(op->high)));
                TS_PUT_FOUR(out + c, LANES, bytes, 4, channels - c, LANES);
            }
        }
}

/* Factors repeat along frames, and channels take turns in the outer loop, so they stay in registers. */
TS_TARGET static void TS_NAME(affine)(const ts_affine *op, const uint8_t *first, const uint8_t *second,
                                      const uint8_t *offset, uint8_t *out)
{
    int32_t channels = op->shape.channels, width = op->shape.width, height = op->shape.height;
    if (!op->factor.off_ties || !op->sum.off_ties || op->along[0] || (!op->constant && op->along[1])) {
        ts_portable.affine(op, first, second, offset, out);
        return;
    }
    if (!op->down[0] && (op->constant || !op->down[1])) {
        width *= height;
        height = 1;
    }
    /* a float that large has no bits after the point, so adding it rounds to an integer */
    const float large = 12582912.0f, step = ts_float_of(1, op->sum.shift);
    VF least = V_SET_PS(large), greatest = V_SET_PS(large + 255.0f), zero = V_SET_PS(large + op->zero_product);
    VF scale = V_SET_PS(op->sum.first * step);
    VI zero_first = V_SET(op->zero_first);
    for (int32_t y = 0; y < height; y++, first += width * channels, out += width * channels)
        for (int32_t c = 0; c < channels; c += LANES) {
            const uint8_t *factors = second + (size_t)y * op->down[0], *tail = offset + (size_t)y * op->down[1];
            VI q = op->across[0] ? V_LOAD_BYTES(factors + c) : V_SET(*factors);
            VF factor = V_MUL_PS(V_FLOAT(V_SUB(q, V_SET(op->zero_second))),
                                 V_SET_PS(ts_float_of(op->factor.multiplier, op->factor.shift)));
            VF addend = V_SET_PS(op->sum.offset * step - 0.5f);
            if (!op->constant)
                addend = V_FMA(V_FLOAT(op->across[1] ? V_LOAD_BYTES(tail + c) : V_SET(*tail)),
                               V_SET_PS(op->sum.second * step), addend);
            for (int32_t x = 0; x < width; x += 4) {
                VI sums[4];
                TS_UNROLL
                for (int32_t i = 0; i < 4; i++) {
                    size_t at = (size_t)(x + i < width ? x + i : x) * channels + c;
                    VF product = V_FMA(V_FLOAT(V_SUB(V_LOAD_BYTES(first + at), zero_first)), factor, zero);
                    product = V_SUB_PS(V_MIN_PS(V_MAX_PS(product, least), greatest), least);
                    sums[i] = V_ROUND(V_FMA(product, scale, addend));
                }
                VB bytes = V_PACK(sums[0], sums[1], sums[2], sums[3]);
                bytes = V_ORDER(V_MIN_BYTES(V_MAX_BYTES(bytes, V_SET_BYTES(op->low)), V_SET_BYTES(op->high)));
                TS_PUT_FOUR(out + (size_t)x * channels + c, channels, bytes, width - x, channels - c, 0);
            }
        }
}

/* The mean over positions, a vector of channels at a time. */
TS_TARGET static void TS_NAME(mean)(const ts_mean *op, const uint8_t *in, uint8_t *out)
{
    int32_t positions = op->shape.height * op->shape.width, channels = op->shape.channels;
    if (!op->axes[0] || !op->axes[1] || op->axes[2] || (op->squares && !op->square.off_ties)) {
        ts_portable.mean(op, in, out);
        return;
    }
    VF factor = V_SET_PS(op->squares ? ts_float_of(op->square.multiplier, op->square.shift) : 0.0f);
    VI zero = V_SET(op->zero_in), greatest = V_SET(255);
    for (int32_t c = 0; c < channels; c += LANES) {
        VI sum = V_SET(0);
        int32_t sums[LANES];
        for (int32_t i = 0; i < positions; i++) {
            VI step = V_SUB(V_LOAD_BYTES(in + (size_t)i * channels + c), zero);
            if (op->squares)
                step = V_MIN(V_ROUND(V_MUL_PS(V_MUL_PS(V_FLOAT(step), V_FLOAT(step)), factor)), greatest);
            sum = V_ADD(sum, step);
        }
        V_STORE(sums, sum);
        for (int32_t i = 0; i < LANES && c + i < channels; i++) {
            int32_t value = ts_scale(sums[i], op->factor.multiplier, op->factor.shift) + op->zero_out;
            out[c + i] = ts_clamp(value, op->low, op->high);
        }
    }
}

#if !MODEL_FIXED_POINT
TS_TARGET static void TS_NAME(quantize)(const float *values, int32_t count, float scale, int32_t zero, uint8_t *out)
{
    union {
        float real;
        uint32_t bits;
    } of = {scale};
    int exact = !(of.bits & 0x7fffff); /* the inverse of a power of two is one */
    VF by = V_SET_PS(exact ? 1.0f / scale : scale);
    for (int32_t i = 0; i < count; i += 4 * LANES) {
        float block[4 * LANES] = {0.0f};
        const float *from = values + i;
        VI sums[4];
        if (count - i < 4 * LANES) {
            for (int32_t j = 0; j < count - i; j++)
                block[j] = from[j];
            from = block;
        }
        TS_UNROLL
        for (int j = 0; j < 4; j++) {
            VF steps = V_LOAD_PS(from + j * LANES);
            steps = exact ? V_MUL_PS(steps, by) : V_DIV_PS(steps, by);
            /* of a number that is none, max takes the second operand */
            steps = V_MIN_PS(V_MAX_PS(steps, V_SET_PS(-512.0f)), V_SET_PS(512.0f));
            sums[j] = V_ADD(V_ROUND(steps), V_SET(zero));
        }
        VB bytes = V_ORDER(V_PACK(sums[0], sums[1], sums[2], sums[3]));
        TS_PUT_FOUR(out + i, LANES, bytes, 4, count - i, LANES);
    }
}
#endif

const ts_kernels TS_NAME(kernels) = {
    TS_LABEL, 1, TS_NAME(chain), TS_NAME(add), TS_NAME(affine), TS_NAME(mean),
#if !MODEL_FIXED_POINT
    TS_NAME(quantize), &TS_OWN_FRONT_END,
#endif
};
