/* The kernels in portable C99: the reference of all others. */
#include "ts_network.h"

#include <string.h>

#if TS_CORTEX_M
#define TS_LABEL (TS_HELIUM ? "Cortex-M Helium" : "Cortex-M DSP")
#include "ts_cortex_m.h"
#else
#define TS_LABEL "portable C"

static int32_t dot(const uint8_t *x, const int8_t *w, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += x[i] * w[i];
    return sum;
}

static uint8_t requantize(const ts_convolution *conv, int32_t channel, int32_t accumulator)
{
    int32_t value = ts_scale(accumulator, conv->multiplier[channel], conv->shift[channel]) + conv->zero_out;
    return ts_clamp(value, conv->low, conv->high);
}

static void pointwise(const ts_convolution *conv, const uint8_t *in, uint8_t *out, int32_t positions)
{
    int32_t inputs = conv->in.channels, outputs = conv->out.channels;
    for (int32_t i = 0; i < positions; i++, in += inputs)
        for (int32_t c = 0; c < outputs; c++)
            *out++ = requantize(conv, c, conv->bias[c] + dot(in, conv->weight + (size_t)c * inputs, inputs));
}

/* One row of a depthwise convolution from padded rows. */
static void depthwise_row(const ts_convolution *conv, const uint8_t *const *rows, uint8_t *out)
{
    int32_t channels = conv->out.channels;
    for (int32_t x = 0; x < conv->out.width; x++)
        for (int32_t c = 0; c < channels; c++) {
            const int8_t *weight = conv->weight + c;
            int32_t sum = conv->bias[c];
            for (int32_t row = 0; row < conv->kernel_height; row++) {
                const uint8_t *in = rows[row] + (size_t)x * conv->along * channels + c;
                for (int32_t column = 0; column < conv->kernel_width; column++) {
                    sum += *in * *weight;
                    in += channels;
                    weight += channels;
                }
            }
            *out++ = requantize(conv, c, sum);
        }
}

/* One row of a dense convolution from padded rows. */
static void dense_row(const ts_convolution *conv, const uint8_t *const *rows, uint8_t *out)
{
    int32_t inputs = conv->in.channels, run = conv->kernel_width * inputs;
    for (int32_t x = 0; x < conv->out.width; x++) {
        const int8_t *weight = conv->weight;
        for (int32_t c = 0; c < conv->out.channels; c++) {
            int32_t sum = conv->bias[c];
            for (int32_t row = 0; row < conv->kernel_height; row++, weight += run)
                sum += dot(rows[row] + (size_t)x * conv->along * inputs, weight, run);
            *out++ = requantize(conv, c, sum);
        }
    }
}

#endif

/* A row of the spatial convolution's input in the ring, with padding on both sides. */
static void fill_row(const ts_chain *chain, const uint8_t *in, int32_t y, uint8_t *row)
{
    const ts_convolution *spatial = chain->spatial;
    int32_t channels = spatial->in.channels, width = spatial->in.width * channels;
    if (y < 0 || y >= spatial->in.height) {
        memset(row, spatial->zero_in, (size_t)(spatial->left + spatial->right) * channels + width);
        return;
    }
    memset(row, spatial->zero_in, (size_t)spatial->left * channels);
    row += spatial->left * channels;
    if (chain->expand)
        pointwise(chain->expand, in + (size_t)y * spatial->in.width * chain->expand->in.channels, row,
                  spatial->in.width);
    else
        memcpy(row, in + (size_t)y * width, (size_t)width);
    memset(row + width, spatial->zero_in, (size_t)spatial->right * channels);
}

static void portable_chain(const ts_chain *chain, const uint8_t *in, uint8_t *out, uint8_t *scratch)
{
    const ts_convolution *spatial = chain->spatial, *project = chain->project;
    const uint8_t *rows[MODEL_MAX_KERNEL_HEIGHT];
    if (!spatial) {
        pointwise(project, in, out, project->in.height * project->in.width);
        return;
    }
    int32_t kernel = spatial->kernel_height, filled = -spatial->top;
    size_t length = (size_t)(spatial->left + spatial->in.width + spatial->right) * spatial->in.channels;
    uint8_t *middle = scratch + (size_t)kernel * length;
    for (int32_t y = 0; y < spatial->out.height; y++) {
        int32_t first = y * spatial->down - spatial->top;
        for (filled = filled < first ? first : filled; filled < first + kernel; filled++)
            fill_row(chain, in, filled, scratch + (size_t)((filled + spatial->top) % kernel) * length);
        for (int32_t row = 0; row < kernel; row++)
            rows[row] = scratch + (size_t)((first + row + spatial->top) % kernel) * length;
        uint8_t *target = project ? middle : out;
        if (spatial->depthwise)
            depthwise_row(spatial, rows, target);
        else
            dense_row(spatial, rows, target);
        if (project)
            pointwise(project, middle, out, spatial->out.width);
        out += (size_t)spatial->out.width * (project ? project : spatial)->out.channels;
    }
}

static void portable_add(const ts_add *op, const uint8_t *first, const uint8_t *second, uint8_t *out)
{
    for (int32_t y = 0; y < op->shape.height; y++)
        for (int32_t x = 0; x < op->shape.width; x++) {
            const uint8_t *other = second + (size_t)y * op->down + (size_t)x * op->along;
            for (int32_t c = 0; c < op->shape.channels; c++, other += op->across) {
                int32_t sum = *first++ * op->sum.first + op->sum.offset;
                *out++ = ts_clamp((sum + *other * op->sum.second) >> op->sum.shift, op->low, op->high);
            }
        }
}

static void portable_affine(const ts_affine *op, const uint8_t *first, const uint8_t *second,
                            const uint8_t *offset, uint8_t *out)
{
    for (int32_t y = 0; y < op->shape.height; y++)
        for (int32_t x = 0; x < op->shape.width; x++) {
            const uint8_t *factor = second + (size_t)y * op->down[0] + (size_t)x * op->along[0];
            const uint8_t *tail = offset + (size_t)y * op->down[1] + (size_t)x * op->along[1];
            for (int32_t c = 0; c < op->shape.channels; c++) {
                int32_t product = (*first++ - op->zero_first) * (*factor - op->zero_second);
                product = ts_scale(product, op->factor.multiplier, op->factor.shift) + op->zero_product;
                int32_t sum = ts_clamp(product, 0, 255) * op->sum.first + op->sum.offset;
                if (!op->constant)
                    sum += *tail * op->sum.second;
                *out++ = ts_clamp(sum >> op->sum.shift, op->low, op->high);
                factor += op->across[0];
                tail += op->across[1];
            }
        }
}

static int32_t term(const ts_mean *op, uint8_t value)
{
    int32_t step = value - op->zero_in;
    if (!op->squares)
        return step;
    step = ts_scale(step * step, op->square.multiplier, op->square.shift);
    return step > 255 ? 255 : step;
}

static void portable_mean(const ts_mean *op, const uint8_t *in, uint8_t *out)
{
    int32_t size[3] = {op->shape.height, op->shape.width, op->shape.channels};
    int32_t step[3] = {size[1] * size[2], size[2], 1}, outer[3], inner[3];
    for (int32_t axis = 0; axis < 3; axis++) {
        outer[axis] = op->axes[axis] ? 1 : size[axis];
        inner[axis] = op->axes[axis] ? size[axis] : 1;
    }
    for (int32_t y = 0; y < outer[0]; y++)
        for (int32_t x = 0; x < outer[1]; x++)
            for (int32_t c = 0; c < outer[2]; c++) {
                const uint8_t *corner = in + (size_t)y * step[0] + (size_t)x * step[1] + c;
                int32_t sum = 0;
                for (int32_t i = 0; i < inner[0]; i++)
                    for (int32_t j = 0; j < inner[1]; j++)
                        for (int32_t k = 0; k < inner[2]; k++)
                            sum += term(op, corner[i * step[0] + j * step[1] + k]);
                int32_t value = ts_scale(sum, op->factor.multiplier, op->factor.shift) + op->zero_out;
                *out++ = ts_clamp(value, op->low, op->high);
            }
}

void ts_quantize(const float *values, int32_t count, float scale, int32_t zero, uint8_t *out)
{
    for (int32_t i = 0; i < count; i++) {
        float steps = values[i] / scale;
        steps = steps > -512.0f ? steps : -512.0f; /* NaN too */
        steps = steps < 512.0f ? steps : 512.0f;
        int32_t whole = (int32_t)steps; /* towards zero */
        float rest = steps - (float)whole;
        if (rest > 0.5f || (rest == 0.5f && (whole & 1)))
            whole++;
        if (rest < -0.5f || (rest == -0.5f && (whole & 1)))
            whole--;
        out[i] = ts_clamp(whole + zero, 0, 255);
    }
}

#if !MODEL_FIXED_POINT
extern const struct ts_front_end ts_front_end_portable;
#endif

const ts_kernels ts_portable = {
    TS_LABEL, 0, portable_chain, portable_add, portable_affine, portable_mean,
#if !MODEL_FIXED_POINT
    ts_quantize, &ts_front_end_portable,
#endif
};
