/* The SIMD kernels, once for each instruction set: the including file defines the vectors.

   Pointwise and dense convolutions multiply four inputs at a time with 4-byte dot products; a vector holds
   output channels. A depthwise convolution stores strips of four rows interleaved, four bytes (rows) for each
   channel, so that one dot product covers a whole column of the kernel; expansion writes them in that form. */

/* What becomes of the accumulators of a convolution. */
typedef struct {
    const ts_convolution *conv;
    const float *scale; /* [lanes] */
    VF zero;
    VB low, high;
} TS_NAME(result);

TS_TARGET static inline TS_NAME(result) TS_NAME(result_of)(const ts_convolution *conv)
{
    TS_NAME(result) result = {conv, ts_packed_of[conv->id].scale, V_SET_PS(conv->zero_out),
                              V_SET_BYTES(conv->low), V_SET_BYTES(conv->high)};
    return result;
}

/* int32 accumulators times their factors, plus the zero point, rounded. */
TS_TARGET static inline VI TS_NAME(scale)(const TS_NAME(result) *result, int32_t lane, VI accumulator)
{
    const ts_convolution *conv = result->conv;
    if (conv->off_ties)
        return V_ROUND(V_FMA(V_FLOAT(accumulator), V_LOAD_PS(result->scale + lane), result->zero));
    int32_t lanes[LANES];
    V_STORE(lanes, accumulator);
    for (int32_t i = 0; i < LANES; i++)
        if (lane + i < conv->out.channels)
            lanes[i] = ts_scale(lanes[i], conv->multiplier[lane + i], conv->shift[lane + i]) + conv->zero_out;
    return V_LOAD(lanes);
}

/* Four vectors of scaled accumulators as bytes, in the order of V_PACK. */
TS_TARGET static inline VB TS_NAME(bytes)(const TS_NAME(result) *result, VI a, VI b, VI c, VI d)
{
    return V_MIN_BYTES(V_MAX_BYTES(V_PACK(a, b, c, d), result->low), result->high);
}

/* Quarter `piece` of ordered bytes; the channels may be fewer. */
#define TS_PUT(place, bytes, piece, count)                                                                 \
    do {                                                                                                   \
        if ((count) >= LANES)                                                                              \
            V_STORE_PIECE(place, bytes, piece);                                                            \
        else                                                                                               \
            V_STORE_SOME(place, bytes, piece, count);                                                      \
    } while (0)

/* The quarters of ordered bytes, `pitch` apart; the first has `count` channels, each other `step` fewer. */
#define TS_PUT_FOUR(place, pitch, bytes, pieces, count, step)                                              \
    do {                                                                                                   \
        TS_PUT(place, bytes, 0, count);                                                                    \
        if ((pieces) > 1 && (count) > (step))                                                              \
            TS_PUT((place) + (pitch), bytes, 1, (count) - (step));                                         \
        if ((pieces) > 2 && (count) > 2 * (step))                                                          \
            TS_PUT((place) + 2 * (pitch), bytes, 2, (count) - 2 * (step));                                 \
        if ((pieces) > 3 && (count) > 3 * (step))                                                          \
            TS_PUT((place) + 3 * (pitch), bytes, 3, (count) - 3 * (step));                                 \
    } while (0)

/* Sums of `positions` x `vectors` outputs, scaled. Position p reads from p * stride on in every row of the
   kernel; in a strip, four rows of outputs share the kernel's only row. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(multiply)(const TS_NAME(result) *result, const uint8_t *const *rows, int32_t stride, int32_t first,
                  int32_t lane, VI (*sums)[VECTORS], const int positions, const int vectors, const int strip)
{
    const ts_packed *packed = &ts_packed_of[result->conv->id];
    const int8_t *weight = packed->weight + 4 * lane;
    const size_t step = 4 * (size_t)packed->lanes, pitch = (size_t)stride;
    const int32_t groups = packed->groups, height = packed->rows;
    TS_UNROLL
    for (int p = 0; p < positions; p++)
        TS_UNROLL
        for (int v = 0; v < vectors; v++)
            sums[p][v] = V_LOAD(packed->bias + lane + LANES * v);
    for (int32_t row = 0; row < height; row++) {
        /* few pointers, each of which serves several positions */
        const uint8_t *in[4];
        TS_UNROLL
        for (int p = 0; p < 4; p++)
            in[p] = strip ? rows[p] + (size_t)first * pitch : rows[row] + (size_t)(first + 3 * p) * pitch;
        for (int32_t k = 0; k < groups; k++, weight += step) {
            VI factor[VECTORS];
            TS_UNROLL
            for (int v = 0; v < vectors; v++)
                factor[v] = V_LOAD(weight + 4 * LANES * v);
            TS_UNROLL
            for (int p = 0; p < positions; p++) {
                VI input = V_FOUR_BYTES(strip ? in[p % 4] + p / 4 * pitch : in[p / 3] + p % 3 * pitch);
                TS_UNROLL
                for (int v = 0; v < vectors; v++)
                    sums[p][v] = V_DOT(sums[p][v], input, factor[v]);
            }
            TS_UNROLL
            for (int p = 0; p < 4; p++) {
                in[p] += 4;
                TS_OPAQUE(in[p]);
            }
        }
    }
    TS_UNROLL
    for (int p = 0; p < positions; p++)
        TS_UNROLL
        for (int v = 0; v < vectors; v++)
            sums[p][v] = TS_NAME(scale)(result, lane + LANES * v, sums[p][v]);
}

/* `positions` x `vectors` outputs as bytes of a row whose positions lie `pitch` bytes apart. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(tile)(const TS_NAME(result) *result, const uint8_t *const *rows, int32_t stride, int32_t first, int32_t lane,
              uint8_t *out, int32_t pitch, const int positions, const int vectors)
{
    VI sums[POSITIONS][VECTORS];
    const int count = positions * vectors;
    TS_NAME(multiply)(result, rows, stride, first, lane, sums, positions, vectors, 0);
    out += (size_t)first * pitch + lane;
    int32_t channels = result->conv->out.channels - lane;
#define TS_SUM(i) sums[((i) < count ? (i) : count - 1) / vectors][((i) < count ? (i) : count - 1) % vectors]
#define TS_PUT_SUM(i, piece)                                                                               \
    if ((i) < count)                                                                                       \
    TS_PUT(out + (size_t)((i) / vectors) * pitch + (i) % vectors * LANES, bytes, piece,                    \
           channels - (i) % vectors * LANES)
    TS_UNROLL
    for (int i = 0; i < count; i += 4) {
        VB bytes = V_ORDER(TS_NAME(bytes)(result, TS_SUM(i), TS_SUM(i + 1), TS_SUM(i + 2), TS_SUM(i + 3)));
        TS_PUT_SUM(i, 0);
        TS_PUT_SUM(i + 1, 1);
        TS_PUT_SUM(i + 2, 2);
        TS_PUT_SUM(i + 3, 3);
    }
#undef TS_SUM
#undef TS_PUT_SUM
}

/* A dense convolution of a row: position p reads `rows`, each from p * stride on. */
TS_TARGET static void TS_NAME(dense)(const ts_convolution *conv, const uint8_t *const *rows, int32_t stride,
                                     int32_t positions, uint8_t *out)
{
    int32_t lane = 0, left = (conv->out.channels + LANES - 1) / LANES, pitch = conv->out.channels;
    TS_NAME(result) result = TS_NAME(result_of)(conv);
    for (; left > 0; left -= VECTORS, lane += VECTORS * LANES) {
        int32_t p = 0;
        for (; p + POSITIONS <= positions; p += POSITIONS)
            if (left >= VECTORS)
                TS_NAME(tile)(&result, rows, stride, p, lane, out, pitch, POSITIONS, VECTORS);
            else if (left == 2)
                TS_NAME(tile)(&result, rows, stride, p, lane, out, pitch, POSITIONS, 2);
            else
                TS_NAME(tile)(&result, rows, stride, p, lane, out, pitch, POSITIONS, 1);
        for (; p < positions; p++)
            for (int32_t v = 0; v < (left < VECTORS ? left : VECTORS); v++)
                TS_NAME(tile)(&result, rows, stride, p, lane + LANES * v, out, pitch, 1, 1);
    }
}

/* `count` <= 4 positions of a depthwise convolution, a step apart. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(depthwise_tile)(const TS_NAME(result) *result, const uint8_t *in, int32_t step, int32_t lane, VI bias,
                        const VI *held, const int8_t *weights, uint8_t *out, const int width, const int count)
{
    const int32_t pitch = 4 * ts_packed_of[result->conv->id].lanes, channels = result->conv->out.channels;
    VI sums[4] = {bias, bias, bias, bias};
    TS_UNROLL
    for (int p = 0; p < count; p++) {
        TS_UNROLL
        for (int column = 0; column < width; column++)
            sums[p] = V_DOT(sums[p], V_INPUT(in + (size_t)step * p + (size_t)pitch * column),
                            width <= 3 ? held[column % 3] : V_LOAD(weights + (size_t)pitch * column));
        sums[p] = TS_NAME(scale)(result, lane, sums[p]);
    }
    VB bytes = V_ORDER(TS_NAME(bytes)(result, sums[0], sums[1], sums[2], sums[3]));
    TS_PUT_FOUR(out, channels, bytes, count, channels - lane, 0);
}

/* One row of a depthwise convolution; the first row of the kernel lies in byte `rotation` of the strip. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(depthwise_width)(const ts_convolution *conv, const uint8_t *strip, int32_t rotation, uint8_t *out,
                         const int width)
{
    const ts_packed *packed = &ts_packed_of[conv->id];
    const int32_t pitch = 4 * packed->lanes, step = pitch * conv->along, channels = conv->out.channels;
    const int32_t positions = conv->out.width;
    TS_NAME(result) result = TS_NAME(result_of)(conv);
    for (int32_t lane = 0; lane < channels; lane += LANES) {
        const int8_t *weights = packed->weight + (size_t)pitch * width * rotation + 4 * lane;
        const uint8_t *in = strip + 4 * lane;
        uint8_t *place = out + lane;
        VI bias = V_LOAD(packed->bias + lane), held[3];
        TS_UNROLL
        for (int column = 0; column < 3 && column < width; column++)
            held[column] = V_LOAD(weights + (size_t)pitch * column);
        int32_t x = 0;
        for (; x + 4 <= positions; x += 4, in += 4 * step, place += 4 * channels)
            TS_NAME(depthwise_tile)(&result, in, step, lane, bias, held, weights, place, width, 4);
        for (; x < positions; x++, in += step, place += channels)
            TS_NAME(depthwise_tile)(&result, in, step, lane, bias, held, weights, place, width, 1);
    }
}

TS_TARGET static void TS_NAME(depthwise)(const ts_convolution *conv, const uint8_t *strip, int32_t rotation,
                                         uint8_t *out)
{
    if (conv->kernel_width == 3)
        TS_NAME(depthwise_width)(conv, strip, rotation, out, 3);
    else if (conv->kernel_width == 1)
        TS_NAME(depthwise_width)(conv, strip, rotation, out, 1);
    else
        TS_NAME(depthwise_width)(conv, strip, rotation, out, conv->kernel_width);
}

/* Columns `first` and following of a strip from the expansion; `padding` has 255 where a row is padding. */
TS_TARGET static inline __attribute__((always_inline)) void
TS_NAME(expand_tile)(const TS_NAME(result) *result, const uint8_t *const *rows, int32_t first, int32_t lane,
                     uint8_t *strip, int32_t padding, const int columns, const int vectors)
{
    VI sums[POSITIONS][VECTORS];
    const ts_convolution *conv = result->conv;
    const int32_t pitch = 4 * ts_packed_of[conv->id].lanes;
    TS_NAME(multiply)(result, rows, conv->in.channels, first, lane, sums, 4 * columns, vectors, 1);
    strip += (size_t)first * pitch + 4 * lane;
    TS_UNROLL
    for (int column = 0; column < columns; column++)
        TS_UNROLL
        for (int v = 0; v < vectors; v++) {
            VI *four = &sums[4 * column][v];
            VI bytes = V_INTERLEAVE(
                TS_NAME(bytes)(result, four[0], four[VECTORS], four[2 * VECTORS], four[3 * VECTORS]));
            if (padding)
                bytes = V_SELECT(V_SET(padding), V_FROM_BYTES(V_SET_BYTES(conv->zero_out)), bytes);
            V_STORE(strip + (size_t)pitch * column + 4 * LANES * v, bytes);
        }
}

TS_TARGET static void TS_NAME(expand)(const ts_convolution *conv, const uint8_t *const *rows, int32_t padding,
                                      uint8_t *strip)
{
    enum { COLUMNS = POSITIONS / 4 };
    TS_NAME(result) result = TS_NAME(result_of)(conv);
    int32_t lane = 0, left = (conv->out.channels + LANES - 1) / LANES, width = conv->in.width;
    for (; left > 0; left -= VECTORS, lane += VECTORS * LANES) {
        int32_t x = 0;
        for (; x + COLUMNS <= width; x += COLUMNS)
            if (left >= VECTORS)
                TS_NAME(expand_tile)(&result, rows, x, lane, strip, padding, COLUMNS, VECTORS);
            else if (left == 2)
                TS_NAME(expand_tile)(&result, rows, x, lane, strip, padding, COLUMNS, 2);
            else
                TS_NAME(expand_tile)(&result, rows, x, lane, strip, padding, COLUMNS, 1);
        for (; x < width; x++)
            for (int32_t v = 0; v < (left < VECTORS ? left : VECTORS); v++)
                TS_NAME(expand_tile)(&result, rows, x, lane + LANES * v, strip, padding, 1, 1);
    }
}

/* Four rows of input from row y on, interleaved: from the expansion, from the input itself, or padding. */
TS_TARGET static void TS_NAME(fill_strip)(const ts_chain *chain, const uint8_t *in, int32_t y, uint8_t *strip)
{
    const ts_convolution *conv = chain->spatial;
    int32_t lanes = ts_packed_of[conv->id].lanes, channels = conv->in.channels, width = conv->in.width;
    int32_t inputs = chain->expand ? chain->expand->in.channels : channels;
    uint32_t padding = 0;
    const uint8_t *rows[4];
    for (int32_t row = 0; row < 4; row++) {
        int32_t inside = y + row < 0 ? 0 : y + row < conv->in.height ? y + row : conv->in.height - 1;
        rows[row] = in + (size_t)inside * width * inputs;
        padding |= inside == y + row ? 0 : (uint32_t)255 << (8 * row);
    }
    strip += (size_t)4 * lanes * conv->left;
    if (chain->expand) {
        TS_NAME(expand)(chain->expand, rows, (int32_t)padding, strip);
        return;
    }
    VI mask = V_SET((int32_t)padding), value = V_FROM_BYTES(V_SET_BYTES(conv->zero_in));
    for (int32_t x = 0; x < width; x++)
        for (int32_t lane = 0; lane < channels; lane += LANES) {
            /* the last vector may read other channels, whose weights are zero */
            const uint8_t *from = rows[0] + (size_t)x * channels + lane;
            VI bytes = V_LOAD_BYTES(from);
            bytes = V_OR(bytes, V_SHIFT_LEFT(V_LOAD_BYTES(from + (rows[1] - rows[0])), 8));
            bytes = V_OR(bytes, V_SHIFT_LEFT(V_LOAD_BYTES(from + (rows[2] - rows[0])), 16));
            bytes = V_OR(bytes, V_SHIFT_LEFT(V_LOAD_BYTES(from + (rows[3] - rows[0])), 24));
            V_STORE(strip + (size_t)4 * lanes * x + 4 * lane, V_SELECT(mask, value, bytes));
        }
}

/* The first `count` rows of the next strip take the place of those of this one, which are done with. */
TS_TARGET static void TS_NAME(merge)(uint8_t *strip, const uint8_t *next, size_t length, int32_t count)
{
    VI mask = V_SET((int32_t)(((uint32_t)1 << (8 * count)) - 1));
    for (size_t i = 0; i < length; i += 4 * LANES)
        V_STORE(strip + i, V_SELECT(mask, V_LOAD(next + i), V_LOAD(strip + i)));
}

TS_TARGET static void TS_NAME(depthwise_chain)(const ts_chain *chain, const uint8_t *in, uint8_t *out,
                                               uint8_t *scratch)
{
    const ts_convolution *conv = chain->spatial, *project = chain->project;
    size_t columns = (size_t)conv->left + conv->in.width + conv->right;
    size_t length = columns * 4 * ts_packed_of[conv->id].lanes;
    uint8_t *strip = scratch, *next = scratch + length, *middle = next + length;
    int32_t width = conv->out.width, held = -1, ahead = -1, merged = 0;
    memset(scratch, conv->zero_in, 2 * length);
    for (int32_t y = 0; y < conv->out.height; y++) {
        int32_t first = y * conv->down, index = first >> 2, rotation = first & 3;
        if (held != index) {
            if (ahead == index) {
                uint8_t *done = strip;
                strip = next, next = done;
            } else {
                TS_NAME(fill_strip)(chain, in, 4 * index - conv->top, strip);
            }
            held = index, ahead = -1, merged = 0;
        }
        int32_t beyond = rotation + conv->kernel_height - 4; /* rows of the next strip */
        if (beyond > 0 && ahead != index + 1) {
            TS_NAME(fill_strip)(chain, in, 4 * index + 4 - conv->top, next);
            ahead = index + 1;
        }
        if (beyond > merged) {
            TS_NAME(merge)(strip, next, length, rotation);
            merged = rotation;
        }
        TS_NAME(depthwise)(conv, strip, rotation, project ? middle : out);
        if (project) {
            const uint8_t *row = middle;
            TS_NAME(dense)(project, &row, project->in.channels, width, out);
        }
        out += (size_t)width * (project ? project : conv)->out.channels;
    }
}

/* A padded row of bytes for a dense convolution. */
TS_TARGET static void TS_NAME(fill)(const ts_chain *chain, const uint8_t *in, int32_t y, uint8_t *row)
{
    const ts_convolution *conv = chain->spatial;
    int32_t channels = conv->in.channels, bytes = conv->in.width * channels;
    if (y < 0 || y >= conv->in.height) {
        memset(row, conv->zero_in, (size_t)(conv->left + conv->right) * channels + bytes);
        return;
    }
    memset(row, conv->zero_in, (size_t)conv->left * channels);
    row += conv->left * channels;
    memset(row + bytes, conv->zero_in, (size_t)conv->right * channels);
    if (chain->expand) {
        const uint8_t *source = in + (size_t)y * conv->in.width * chain->expand->in.channels;
        TS_NAME(dense)(chain->expand, &source, chain->expand->in.channels, conv->in.width, row);
    } else {
        memcpy(row, in + (size_t)y * bytes, (size_t)bytes);
    }
}

TS_TARGET static void TS_NAME(dense_chain)(const ts_chain *chain, const uint8_t *in, uint8_t *out,
                                           uint8_t *scratch)
{
    const ts_convolution *conv = chain->spatial, *project = chain->project;
    const uint8_t *rows[MODEL_MAX_KERNEL_HEIGHT];
    int32_t kernel = conv->kernel_height, filled = -conv->top, width = conv->out.width;
    size_t length = (size_t)(conv->left + conv->in.width + conv->right) * conv->in.channels;
    uint8_t *middle = scratch + (size_t)kernel * length;
    for (int32_t y = 0; y < conv->out.height; y++) {
        int32_t first = y * conv->down - conv->top;
        for (filled = filled < first ? first : filled; filled < first + kernel; filled++)
            TS_NAME(fill)(chain, in, filled, scratch + (size_t)((filled + conv->top) % kernel) * length);
        for (int32_t row = 0; row < kernel; row++)
            rows[row] = scratch + (size_t)((first + row + conv->top) % kernel) * length;
        TS_NAME(dense)(conv, rows, conv->along * conv->in.channels, width, project ? middle : out);
        if (project) {
            const uint8_t *row = middle;
            TS_NAME(dense)(project, &row, project->in.channels, width, out);
        }
        out += (size_t)width * (project ? project : conv)->out.channels;
    }
}

TS_TARGET static void TS_NAME(chain)(const ts_chain *chain, const uint8_t *in, uint8_t *out, uint8_t *scratch)
{
    const ts_convolution *conv = chain->spatial, *project = chain->project;
    int narrow = !(chain->expand && !chain->expand->narrow) && !(conv && !conv->narrow) &&
                 !(project && !project->narrow);
    if ((TS_NARROW && !narrow) || (conv && conv->depthwise && conv->kernel_height > 4))
        ts_portable.chain(chain, in, out, scratch);
    else if (!conv)
        TS_NAME(dense)(project, &in, project->in.channels, project->in.height * project->in.width, out);
    else if (conv->depthwise)
        TS_NAME(depthwise_chain)(chain, in, out, scratch);
    else
        TS_NAME(dense_chain)(chain, in, out, scratch);
}

