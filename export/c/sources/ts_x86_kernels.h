/* The SIMD kernels, once for each instruction set: ts_x86.c defines the vectors and includes this file.

   Pointwise and dense convolutions multiply four inputs at a time with 4-byte dot products; a vector holds
   output channels. A depthwise convolution stores its rows interleaved, four bytes (rows) for each channel, so
   that one dot product covers a whole column of the kernel; expansion writes them in that form. */

/* int32 accumulators to the integers of the result. */
TS_TARGET static inline VI TS_NAME(requantize)(const ts_convolution *conv, int32_t lane, VI accumulator)
{
    const ts_packed *packed = &ts_packed_of[conv->id];
    VI value;
    if (conv->off_ties) {
        value = V_ROUND(V_MUL_PS(V_FLOAT(accumulator), V_LOAD_PS(packed->scale + lane)));
    } else {
        int32_t lanes[LANES];
        V_STORE(lanes, accumulator);
        for (int32_t i = 0; i < LANES; i++)
            if (lane + i < conv->out.channels)
                lanes[i] = ts_scale(lanes[i], conv->multiplier[lane + i], conv->shift[lane + i]);
        value = V_LOAD(lanes);
    }
    value = V_ADD(value, V_SET(conv->zero_out));
    return V_MIN(V_MAX(value, V_SET(conv->low)), V_SET(conv->high));
}

/* Integers of 0 to 255 as bytes; `count` of them where the last channels fill no vector. */
TS_TARGET static inline void TS_NAME(store)(uint8_t *out, VI value, int32_t count)
{
    if (count >= LANES) {
        V_STORE_BYTES(out, value);
    } else {
        uint8_t bytes[LANES];
        V_STORE_BYTES(bytes, value);
        for (int32_t i = 0; i < count; i++)
            out[i] = bytes[i];
    }
}

/* Where the outputs of a convolution go: bytes of a row, or one of the four rows of a depthwise ring. */
typedef struct {
    uint8_t *bytes;
    int32_t stride; /* of positions, bytes */
    int32_t slot;   /* of the ring; -1 for bytes */
} TS_NAME(target);

TS_TARGET static inline void TS_NAME(put)(const TS_NAME(target) *target, const ts_convolution *conv,
                                          int32_t position, int32_t lane, VI accumulator)
{
    VI value = TS_NAME(requantize)(conv, lane, accumulator);
    uint8_t *place = target->bytes + (size_t)position * target->stride;
    if (target->slot < 0)
        TS_NAME(store)(place + lane, value, conv->out.channels - lane);
    else
        V_STORE(place + 4 * lane, V_MERGE(V_LOAD(place + 4 * lane), value, target->slot));
}

/* `positions` x `vectors` outputs at once, both constants where this is inlined. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(tile)(const ts_convolution *conv, const uint8_t *const *rows, int32_t stride, int32_t first, int32_t lane,
              const TS_NAME(target) *target, const int positions, const int vectors)
{
    const ts_packed *packed = &ts_packed_of[conv->id];
    const int8_t *weight = packed->weight + 4 * lane;
    VI sums[POSITIONS][VECTORS];
    TS_UNROLL
    for (int p = 0; p < positions; p++)
        TS_UNROLL
        for (int v = 0; v < vectors; v++)
            sums[p][v] = V_LOAD(packed->bias + lane + LANES * v);
    for (int32_t row = 0; row < packed->rows; row++) {
        const uint8_t *in = rows[row] + (size_t)first * stride;
        for (int32_t k = 0; k < packed->groups; k++, in += 4, weight += 4 * packed->lanes) {
            VI factor[VECTORS];
            TS_UNROLL
            for (int v = 0; v < vectors; v++)
                factor[v] = V_LOAD(weight + 4 * LANES * v);
            TS_UNROLL
            for (int p = 0; p < positions; p++) {
                VI input = V_FOUR_BYTES(in + (size_t)p * stride);
                TS_UNROLL
                for (int v = 0; v < vectors; v++)
                    sums[p][v] = V_DOT(sums[p][v], input, factor[v]);
            }
        }
    }
    TS_UNROLL
    for (int p = 0; p < positions; p++)
        TS_UNROLL
        for (int v = 0; v < vectors; v++)
            TS_NAME(put)(target, conv, first + p, lane + LANES * v, sums[p][v]);
}

/* A dense convolution of a row: position p reads `rows`, each from p * stride on. */
TS_TARGET static void TS_NAME(dense)(const ts_convolution *conv, const uint8_t *const *rows, int32_t stride,
                                     int32_t positions, const TS_NAME(target) *target)
{
    int32_t lane = 0, left = (conv->out.channels + LANES - 1) / LANES;
    for (; left; left -= left < VECTORS ? left : VECTORS, lane += VECTORS * LANES) {
        int32_t p = 0;
        for (; p + POSITIONS <= positions; p += POSITIONS)
            if (left >= VECTORS)
                TS_NAME(tile)(conv, rows, stride, p, lane, target, POSITIONS, VECTORS);
            else if (left == 2)
                TS_NAME(tile)(conv, rows, stride, p, lane, target, POSITIONS, 2);
            else
                TS_NAME(tile)(conv, rows, stride, p, lane, target, POSITIONS, 1);
        for (; p < positions; p++)
            for (int32_t v = 0; v < (left < VECTORS ? left : VECTORS); v++)
                TS_NAME(tile)(conv, rows, stride, p, lane + LANES * v, target, 1, 1);
    }
}

/* A row of a depthwise convolution from the interleaved ring. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(depthwise_width)(const ts_convolution *conv, const uint8_t *ring, int32_t rotation, uint8_t *out,
                         const int width)
{
    const ts_packed *packed = &ts_packed_of[conv->id];
    int32_t lanes = packed->lanes, channels = conv->out.channels;
    const int8_t *weights = packed->weight + (size_t)4 * lanes * width * rotation;
    for (int32_t lane = 0; lane < channels; lane += LANES) {
        VI bias = V_LOAD(packed->bias + lane);
        for (int32_t x = 0; x < conv->out.width; x++) {
            const uint8_t *in = ring + (size_t)4 * lanes * conv->along * x + 4 * lane;
            VI sum = bias;
            for (int column = 0; column < width; column++)
                sum = V_DOT(sum, V_LOAD(in + (size_t)4 * lanes * column),
                            V_LOAD(weights + (size_t)4 * lanes * column + 4 * lane));
            TS_NAME(store)(out + (size_t)x * channels + lane, TS_NAME(requantize)(conv, lane, sum), channels - lane);
        }
    }
}

TS_TARGET static void TS_NAME(depthwise)(const ts_convolution *conv, const uint8_t *ring, int32_t rotation,
                                         uint8_t *out)
{
    if (conv->kernel_width == 3)
        TS_NAME(depthwise_width)(conv, ring, rotation, out, 3);
    else if (conv->kernel_width == 1)
        TS_NAME(depthwise_width)(conv, ring, rotation, out, 1);
    else
        TS_NAME(depthwise_width)(conv, ring, rotation, out, conv->kernel_width);
}

/* A row of input for the interleaved ring, from the expansion, from the input itself, or padding. */
TS_TARGET static void TS_NAME(interleave)(const ts_chain *chain, const uint8_t *in, int32_t y, uint8_t *ring,
                                          int32_t slot)
{
    const ts_convolution *conv = chain->spatial;
    int32_t lanes = ts_packed_of[conv->id].lanes, channels = conv->in.channels;
    int inside = y >= 0 && y < conv->in.height;
    ring += (size_t)4 * lanes * conv->left;
    if (inside && chain->expand) {
        TS_NAME(target) target = {ring, 4 * lanes, slot};
        const uint8_t *row = in + (size_t)y * conv->in.width * chain->expand->in.channels;
        TS_NAME(dense)(chain->expand, &row, chain->expand->in.channels, conv->in.width, &target);
        return;
    }
    for (int32_t x = 0; x < conv->in.width; x++)
        for (int32_t lane = 0; lane < channels; lane += LANES) {
            uint8_t *place = ring + (size_t)4 * lanes * x + 4 * lane;
            VI value = V_SET(conv->zero_in);
            if (inside) /* the last vector may read other channels, whose weights are zero */
                value = V_LOAD_BYTES(in + ((size_t)y * conv->in.width + x) * channels + lane);
            V_STORE(place, V_MERGE(V_LOAD(place), value, slot));
        }
}

TS_TARGET static void TS_NAME(depthwise_chain)(const ts_chain *chain, const uint8_t *in, uint8_t *out,
                                               uint8_t *ring)
{
    const ts_convolution *conv = chain->spatial, *project = chain->project;
    size_t columns = (size_t)conv->left + conv->in.width + conv->right;
    size_t length = columns * 4 * ts_packed_of[conv->id].lanes;
    uint8_t *middle = ring + length;
    int32_t width = conv->out.width, filled = -conv->top;
    memset(ring, conv->zero_in, length);
    for (int32_t y = 0; y < conv->out.height; y++) {
        int32_t first = y * conv->down - conv->top;
        for (filled = filled < first ? first : filled; filled < first + conv->kernel_height; filled++)
            TS_NAME(interleave)(chain, in, filled, ring, (filled + conv->top) & 3);
        TS_NAME(depthwise)(conv, ring, (first + conv->top) & 3, project ? middle : out);
        if (project) {
            TS_NAME(target) target = {out, project->out.channels, -1};
            const uint8_t *row = middle;
            TS_NAME(dense)(project, &row, project->in.channels, width, &target);
        }
        out += (size_t)width * (project ? project : conv)->out.channels;
    }
}

/* A padded row of bytes for a dense convolution. */
TS_TARGET static void TS_NAME(fill)(const ts_chain *chain, const uint8_t *in, int32_t y, uint8_t *row)
{
    const ts_convolution *conv = chain->spatial;
    int32_t channels = conv->in.channels, bytes = conv->in.width * channels;
    memset(row, conv->zero_in, (size_t)(conv->left + conv->right) * channels + bytes);
    if (y < 0 || y >= conv->in.height)
        return;
    row += conv->left * channels;
    if (chain->expand) {
        TS_NAME(target) target = {row, channels, -1};
        const uint8_t *source = in + (size_t)y * conv->in.width * chain->expand->in.channels;
        TS_NAME(dense)(chain->expand, &source, chain->expand->in.channels, conv->in.width, &target);
    } else {
        memcpy(row, in + (size_t)y * bytes, (size_t)bytes);
    }
}

TS_TARGET static void TS_NAME(dense_chain)(const ts_chain *chain, const uint8_t *in, uint8_t *out,
                                           uint8_t *scratch)
{
    const ts_convolution *conv = chain->spatial, *project = chain->project;
    const uint8_t *rows[TS_MAX_KERNEL];
    int32_t kernel = conv->kernel_height, filled = -conv->top, width = conv->out.width;
    size_t length = (size_t)(conv->left + conv->in.width + conv->right) * conv->in.channels;
    uint8_t *middle = scratch + (size_t)kernel * length;
    for (int32_t y = 0; y < conv->out.height; y++) {
        int32_t first = y * conv->down - conv->top;
        for (filled = filled < first ? first : filled; filled < first + kernel; filled++)
            TS_NAME(fill)(chain, in, filled, scratch + (size_t)((filled + conv->top) % kernel) * length);
        for (int32_t row = 0; row < kernel; row++)
            rows[row] = scratch + (size_t)((first + row + conv->top) % kernel) * length;
        TS_NAME(target) target = {project ? middle : out, conv->out.channels, -1};
        TS_NAME(dense)(conv, rows, conv->along * conv->in.channels, width, &target);
        if (project) {
            TS_NAME(target) last = {out, project->out.channels, -1};
            const uint8_t *row = middle;
            TS_NAME(dense)(project, &row, project->in.channels, width, &last);
        }
        out += (size_t)width * (project ? project : conv)->out.channels;
    }
}

TS_TARGET static void TS_NAME(chain)(const ts_chain *chain, const uint8_t *in, uint8_t *out, uint8_t *scratch)
{
    const ts_convolution *conv = chain->spatial, *project = chain->project;
    int narrow = !(chain->expand && !chain->expand->narrow) && !(conv && !conv->narrow) &&
                 !(project && !project->narrow);
    if ((TS_NARROW && !narrow) || (conv && conv->depthwise && conv->kernel_height > 4)) {
        ts_portable.chain(chain, in, out, scratch);
    } else if (!conv) {
        TS_NAME(target) target = {out, project->out.channels, -1};
        TS_NAME(dense)(project, &in, project->in.channels, project->in.height * project->in.width, &target);
    } else if (conv->depthwise) {
        TS_NAME(depthwise_chain)(chain, in, out, scratch);
    } else {
        TS_NAME(dense_chain)(chain, in, out, scratch);
    }
}

TS_TARGET static inline VI TS_NAME(clamp)(VI value, int32_t low, int32_t high)
{
    return V_MIN(V_MAX(value, V_SET(low)), V_SET(high));
}

TS_TARGET static void TS_NAME(add)(const ts_add *op, const uint8_t *first, const uint8_t *second, uint8_t *out)
{
    int32_t channels = op->shape.channels, width = op->shape.width, height = op->shape.height;
    if (op->across && op->along == channels && op->down == width * channels) { /* one long row */
        channels *= width * height;
        width = height = 1;
    }
    VI a = V_SET(op->sum.first), b = V_SET(op->sum.second), offset = V_SET(op->sum.offset);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++, first += channels, out += channels) {
            const uint8_t *other = second + (size_t)y * op->down + (size_t)x * op->along;
            for (int32_t c = 0; c < channels; c += LANES) {
                VI sum = V_ADD(V_MUL(V_LOAD_BYTES(first + c), a), offset);
                VI addend = op->across ? V_LOAD_BYTES(other + c) : V_SET(*other);
                sum = V_SHIFT(V_ADD(sum, V_MUL(addend, b)), op->sum.shift);
                TS_NAME(store)(out + c, TS_NAME(clamp)(sum, op->low, op->high), channels - c);
            }
        }
}

TS_TARGET static void TS_NAME(affine)(const ts_affine *op, const uint8_t *first, const uint8_t *second,
                                      const uint8_t *offset, uint8_t *out)
{
    int32_t channels = op->shape.channels;
    if (!op->factor.off_ties) {
        ts_portable.affine(op, first, second, offset, out);
        return;
    }
    VF factor = V_SET_PS(ts_float_of(op->factor.multiplier, op->factor.shift));
    VI zero_first = V_SET(op->zero_first), zero_second = V_SET(op->zero_second);
    VI half = V_SET(0xffff), scale = V_SET(op->sum.first), constant = V_SET(op->sum.offset);
    for (int32_t y = 0; y < op->shape.height; y++)
        for (int32_t x = 0; x < op->shape.width; x++, first += channels, out += channels) {
            const uint8_t *factors = second + (size_t)y * op->down[0] + (size_t)x * op->along[0];
            const uint8_t *offsets = offset + (size_t)y * op->down[1] + (size_t)x * op->along[1];
            for (int32_t c = 0; c < channels; c += LANES) {
                VI f = op->across[0] ? V_LOAD_BYTES(factors + c) : V_SET(*factors);
                /* both fit int16, so one product of a pair of them is enough */
                VI product = V_MADD(V_SUB(V_LOAD_BYTES(first + c), zero_first),
                                    V_AND(V_SUB(f, zero_second), half));
                product = V_ADD(V_ROUND(V_MUL_PS(V_FLOAT(product), factor)), V_SET(op->zero_product));
                VI sum = V_ADD(V_MUL(TS_NAME(clamp)(product, 0, 255), scale), constant);
                if (!op->constant) {
                    VI tail = op->across[1] ? V_LOAD_BYTES(offsets + c) : V_SET(*offsets);
                    sum = V_ADD(sum, V_MUL(tail, V_SET(op->sum.second)));
                }
                sum = TS_NAME(clamp)(V_SHIFT(sum, op->sum.shift), op->low, op->high);
                TS_NAME(store)(out + c, sum, channels - c);
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
                step = V_MIN(V_ROUND(V_MUL_PS(V_FLOAT(V_MADD(step, V_AND(step, V_SET(0xffff)))), factor)), greatest);
            sum = V_ADD(sum, step);
        }
        V_STORE(sums, sum);
        for (int32_t i = 0; i < LANES && c + i < channels; i++) {
            int32_t value = ts_scale(sums[i], op->factor.multiplier, op->factor.shift) + op->zero_out;
            out[c + i] = ts_clamp(value, op->low, op->high);
        }
    }
}

TS_TARGET static void TS_NAME(quantize)(const float *values, int32_t count, float scale, int32_t zero, uint8_t *out)
{
    for (int32_t i = 0; i < count; i += LANES) {
        float block[LANES] = {0.0f};
        const float *from = values + i;
        if (count - i < LANES) {
            for (int32_t j = 0; j < count - i; j++)
                block[j] = from[j];
            from = block;
        }
        VF steps = V_DIV_PS(V_LOAD_PS(from), V_SET_PS(scale));
        /* of a number that is none, max takes the second operand */
        steps = V_MIN_PS(V_MAX_PS(steps, V_SET_PS(-512.0f)), V_SET_PS(512.0f));
        VI value = V_ADD(V_ROUND(steps), V_SET(zero));
        TS_NAME(store)(out + i, TS_NAME(clamp)(value, 0, 255), count - i);
    }
}

static const ts_kernels TS_NAME(kernels) = {
    TS_LABEL, 1, TS_NAME(chain), TS_NAME(add), TS_NAME(affine), TS_NAME(mean), TS_NAME(quantize),
};
