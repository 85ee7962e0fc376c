/* The steps of a network, and the operators that are the same on every machine. */
#include "ts_network.h"

static void lookup(const ts_lookup *op, const uint8_t *in, uint8_t *out)
{
    for (int32_t i = 0; i < op->size; i++)
        out[i] = op->table[in[i]];
}

/* GRN: one + gain * q / (sum of q + floor). */
static void response_norm(const ts_response_norm *op, const uint8_t *in, uint8_t *out)
{
    int64_t below = 0, gain = op->gain < 0 ? -op->gain : op->gain;
    for (int32_t c = 0; c < op->channels; c++)
        below += in[c];
    below = below * 4096 + op->floor; /* 12 bits after the binary point */
    for (int32_t c = 0; c < op->channels; c++) {
        int64_t ratio = gain * in[c] * 4096 / below;
        int64_t value = op->one + (op->gain < 0 ? -ratio : ratio);
        value = (value + (1 << 19)) >> 20;
        out[c] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

/* The integer square root, rounded down. */
static int64_t square_root(int64_t value)
{
    uint64_t rest = (uint64_t)value, root = 0, bit = (uint64_t)1 << 62;
    while (bit > rest)
        bit >>= 2;
    for (; bit; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (int64_t)root;
}

/* ResNorm: 1 / sqrt(variance), and minus mean / sqrt(variance), of every mel band. */
static void residual_norm(const ts_residual_norm *op, const uint8_t *means, const uint8_t *energies,
                          uint8_t *scale, uint8_t *offset)
{
    for (int32_t i = 0; i < op->count; i++) {
        int64_t m = means[i] - op->zero_mean, e = energies[i] - op->zero_energy;
        int64_t variance = op->energy * e - op->mean * (m * m);
        int64_t root = square_root((variance < 0 ? 0 : variance) + op->floor);
        int64_t s = op->scale_constant + (op->scale_step << op->half_bits) / root;
        int64_t o = ((op->offset_step * (m < 0 ? -m : m)) << op->half_bits) / root;
        s = (s + (1 << 19)) >> 20;
        o = (((m < 0 ? o : -o) + (1 << 19)) >> 20) + op->zero_offset;
        scale[i] = (uint8_t)(s < 0 ? 0 : s > 255 ? 255 : s);
        offset[i] = (uint8_t)(o < 0 ? 0 : o > 255 ? 255 : o);
    }
}

static void max_pool(const ts_max_pool *op, const uint8_t *in, uint8_t *out)
{
    int32_t channels = op->in.channels;
    for (int32_t y = 0; y < op->out.height; y++)
        for (int32_t x = 0; x < op->out.width; x++) {
            const uint8_t *corner = in + ((size_t)y * op->down * op->in.width + (size_t)x * op->along) * channels;
            for (int32_t c = 0; c < channels; c++) {
                uint8_t greatest = 0;
                for (int32_t row = 0; row < op->kernel_height; row++)
                    for (int32_t column = 0; column < op->kernel_width; column++) {
                        uint8_t value = corner[((size_t)row * op->in.width + column) * channels + c];
                        greatest = value > greatest ? value : greatest;
                    }
                *out++ = greatest;
            }
        }
}

static void move_channels(const ts_channels *op, const uint8_t *in, uint8_t *out)
{
    for (int32_t i = 0; i < op->positions; i++) {
        for (int32_t c = 0; c < op->count; c++)
            out[op->to[c]] = in[op->from[c]];
        in += op->channels_in;
        out += op->channels_out;
    }
}

void ts_run(const ts_network *network, const ts_kernels *kernels, uint8_t *arena)
{
    for (const ts_step *step = network->steps; step < network->steps + network->count; step++) {
        const void *op = step->operator_;
        const uint8_t *in = arena + step->in[0], *second = arena + step->in[1], *third = arena + step->in[2];
        uint8_t *out = arena + step->out[0];
        switch (step->kind) {
        case TS_CHAIN:
            kernels->chain(op, in, out, arena + (kernels->wide ? network->wide_scratch : step->in[2]));
            break;
        case TS_ADD: kernels->add(op, in, second, out); break;
        case TS_AFFINE: kernels->affine(op, in, second, third, out); break;
        case TS_MEAN: kernels->mean(op, in, out); break;
        case TS_LOOKUP: lookup(op, in, out); break;
        case TS_RESPONSE_NORM: response_norm(op, in, out); break;
        case TS_RESIDUAL_NORM: residual_norm(op, in, second, out, arena + step->out[1]); break;
        case TS_MAX_POOL: max_pool(op, in, out); break;
        default: move_channels(op, in, out); break;
        }
    }
}
