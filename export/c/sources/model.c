/* The model: one window at a time, or a stream of samples. See model.h. */
#include "model.h"
#include "model_network.h"
#include "ts_front_end.h"

#include <string.h>

static const ts_kernels *kernels;

#if TS_SIMD
#include "ts_simd.h"
#endif

void model_init(void)
{
    kernels = &ts_portable;
#if TS_SIMD
    ts_simd_choose(&kernels, NULL);
#endif
}

int model_use(const char *name)
{
    kernels = &ts_portable;
    if (!strcmp(name, kernels->name))
        return 1;
#if TS_SIMD
    ts_simd_choose(&kernels, name);
#endif
    return !strcmp(name, kernels->name);
}

const char *model_kernels(void)
{
    return kernels->name;
}

/* Vectors that lie in one line of the cache are read faster. */
static void *align(void *workspace)
{
    return (uint8_t *)workspace + (MODEL_ALIGNMENT - (uintptr_t)workspace % MODEL_ALIGNMENT) % MODEL_ALIGNMENT;
}

static void quantize(const float *log_mel, int32_t count, uint8_t *integers);

static void dequantize(const uint8_t *integers, float *logits)
{
    for (int i = 0; i < MODEL_CLASSES; i++)
        logits[i] = (float)(integers[i] - MODEL_OUTPUT_ZERO) * MODEL_OUTPUT_SCALE;
}

void model_run(const float *log_mel, float *logits, void *workspace)
{
    uint8_t *arena = align(workspace);
    quantize(log_mel, MODEL_N_MELS * MODEL_FRAMES, arena + MODEL_INPUT_OFFSET);
    ts_run(&model_network, kernels, arena);
    dequantize(arena + MODEL_OUTPUT_OFFSET, logits);
}

#if MODEL_STREAM

/* Sums over the samples since the start of the stream, in steps of 2^-MODEL_LEVEL_BITS; modulo 2^64, which their
   differences over a window do not reach. */
typedef struct {
    uint64_t sum, squares;
} ts_level;

/* Frames whose samples lie inside the stream are computed once, and shared by the windows that overlap there.
   The first and the last frames of a window read its mirrored edges: the first ones are computed when the
   window has begun, the last ones when it ends. */
static struct {
    uint64_t received;      /* samples since the start of the stream */
    uint64_t frame;         /* the next frame to compute */
    uint64_t opened, begun, window; /* the windows whose first sample, first frames, and end come next */
    ts_sample samples[MODEL_RING]; /* the newest ones */
    uint8_t inner[MODEL_INNER_FRAMES][MODEL_N_MELS];
    uint8_t first[MODEL_OPEN_WINDOWS][MODEL_FIRST_INNER + 1][MODEL_N_MELS];
    ts_level level, level_before[MODEL_OPEN_WINDOWS]; /* now, and before the first sample of each window */
    ts_score scores[MODEL_CLASSES];
    uint8_t logits[MODEL_CLASSES];
    int has_signal;
} stream;

static union {
    ts_front_end_work front_end;
    uint8_t arena[MODEL_WORKSPACE];
    int64_t aligned;
} workspace TS_ALIGNED;

#endif

#include "ts_stream.h"

#if MODEL_STREAM

void model_reset(void)
{
    memset(&stream, 0, sizeof stream);
    stream.frame = MODEL_FIRST_INNER;
}

/* Frame `index` of the window that starts at sample `start`; `edges` mirrors what lies outside the window. */
static void compute(uint64_t start, int64_t index, int edges, uint8_t *bands)
{
    int64_t begin = index * MODEL_HOP_LENGTH + MODEL_LEAD;
    for (int32_t i = 0; i < MODEL_WIN_LENGTH; i++) {
        int64_t place = begin + i;
        int outside = edges && (place < 0 || place >= MODEL_FILTERED);
#if MODEL_REFLECT
        if (outside)
            place = place < 0 ? -place : 2 * (MODEL_FILTERED - 1) - place;
        outside = 0;
#endif
        put_sample(i, outside ? 0 : sample_at(start + (uint64_t)place));
    }
    log_mel_column(bands);
}

static void measure(int32_t level)
{
    stream.level.sum += (uint64_t)(int64_t)level;
    stream.level.squares += (uint64_t)((int64_t)level * level);
}

/* Whether the variance of the samples of the window that ends now reaches what counts as a signal. */
static int has_signal(uint64_t window)
{
    const ts_level *before = &stream.level_before[window % MODEL_OPEN_WINDOWS];
    uint64_t sum = stream.level.sum - before->sum, squares = stream.level.squares - before->squares;
    sum = sum >> 63 ? 0 - sum : sum;
    /* sum * sum / MODEL_SAMPLES in parts that fit 64 bits */
    uint64_t mean = sum / MODEL_SAMPLES, rest = sum % MODEL_SAMPLES;
    uint64_t of_mean = (mean * MODEL_SAMPLES + 2 * rest) * mean + rest * rest / MODEL_SAMPLES;
    return squares - of_mean >= (uint64_t)MODEL_LEAST_SIGNAL;
}

static void classify(uint64_t window)
{
    uint64_t start = window * MODEL_HOP_SAMPLES, frames = start / MODEL_HOP_LENGTH;
    uint8_t last[MODEL_FRAMES - MODEL_LAST_INNER + 1][MODEL_N_MELS];
    for (int32_t t = MODEL_LAST_INNER; t < MODEL_FRAMES; t++)
        compute(start, t, 1, last[t - MODEL_LAST_INNER]);
    uint8_t *input = workspace.arena + MODEL_INPUT_OFFSET;
    for (int32_t t = 0; t < MODEL_FRAMES; t++) {
        uint64_t place = (frames + (uint64_t)t) % MODEL_INNER_FRAMES;
        const uint8_t *bands = t < MODEL_FIRST_INNER  ? stream.first[window % MODEL_OPEN_WINDOWS][t]
                               : t < MODEL_LAST_INNER ? stream.inner[place]
                                                      : last[t - MODEL_LAST_INNER];
        for (int band = 0; band < MODEL_N_MELS; band++)
            input[band * MODEL_FRAMES + t] = bands[band];
    }
    ts_run(&model_network, kernels, workspace.arena);
    memcpy(stream.logits, workspace.arena + MODEL_OUTPUT_OFFSET, MODEL_CLASSES);
    softmax(stream.logits, stream.scores);
    stream.has_signal = has_signal(window);
}

/* Do what the samples so far allow; returns how many more samples the next thing to do needs. */
static uint64_t advance(int *windows)
{
    uint64_t inner, first, start, end;
    for (;;) {
        start = stream.opened * MODEL_HOP_SAMPLES;
        inner = stream.frame * MODEL_HOP_LENGTH + MODEL_INNER_NEEDS;
        first = stream.begun * MODEL_HOP_SAMPLES + MODEL_FIRST_NEEDS;
        end = stream.window * MODEL_HOP_SAMPLES + MODEL_SAMPLES;
        if (stream.received >= start) {
            stream.level_before[stream.opened++ % MODEL_OPEN_WINDOWS] = stream.level;
        } else if (stream.received >= inner) {
            compute(0, (int64_t)stream.frame, 0, stream.inner[stream.frame % MODEL_INNER_FRAMES]);
            stream.frame++;
        } else if (stream.received >= first) {
            for (int32_t t = 0; t < MODEL_FIRST_INNER; t++)
                compute(stream.begun * MODEL_HOP_SAMPLES, t, 1,
                        stream.first[stream.begun % MODEL_OPEN_WINDOWS][t]);
            stream.begun++;
        } else if (stream.received >= end) {
            classify(stream.window++);
            ++*windows;
        } else {
            break;
        }
    }
    end = end < first ? end : first;
    inner = inner < start ? inner : start;
    return (inner < end ? inner : end) - stream.received;
}

static int push(const void *samples, size_t count, ts_sample (*convert)(const void *, size_t))
{
    int windows = 0;
    for (size_t index = 0; index < count;) {
        uint64_t due = advance(&windows);
        for (; due && index < count; due--, index++) {
            ts_sample sample = convert(samples, index);
            measure(level_of(sample));
            take_sample(sample);
            stream.received++;
        }
    }
    advance(&windows);
    return windows;
}

int model_push(const float *samples, size_t count)
{
    return push(samples, count, convert_float);
}

int model_push_int16(const int16_t *samples, size_t count)
{
    return push(samples, count, convert_int16);
}

int model_has_signal(void)
{
    return stream.has_signal;
}

const uint8_t *model_logits(void)
{
    return stream.logits;
}

#endif
