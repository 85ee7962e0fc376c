/* The parts of model.c that take in samples and give scores, in float32; model.c includes this file. */
#ifndef TS_STREAM_H
#define TS_STREAM_H

static void quantize(const float *log_mel, int32_t count, uint8_t *integers)
{
    kernels->quantize(log_mel, count, MODEL_INPUT_SCALE, MODEL_INPUT_ZERO, integers);
}

void model_columns(const float *samples, long step, long count, float *log_mel, long row, void *memory)
{
    const ts_front_end *front_end = kernels->front_end;
    float *power = align(memory), *bands = power + TS_SIDE_BY_SIDE * TS_BINS;
    float *work = bands + TS_SIDE_BY_SIDE * MODEL_N_MELS;
    long side_by_side = front_end->side_by_side;
    for (long first = 0; first < count; first += side_by_side) {
        int frames = (int)(count - first < side_by_side ? count - first : side_by_side);
        for (int frame = 0; frame < frames; frame++)
            front_end->spectrum(samples + (first + frame) * step, power + frame * TS_BINS, work);
        front_end->log_mel(power, frames, log_mel + first, row, bands);
    }
}

#if MODEL_STREAM

/* Samples are stored after pre-emphasis. */
static float sample_at(uint64_t place)
{
    return stream.samples[place % MODEL_RING];
}

static void put_sample(int32_t place, float sample)
{
    workspace.front_end[place] = sample;
}

static void log_mel_column(uint8_t *bands)
{
    float *frame = workspace.front_end, *log_mel = frame + MODEL_WIN_LENGTH;
    model_columns(frame, 0, 1, log_mel, 1, log_mel + MODEL_N_MELS);
    quantize(log_mel, MODEL_N_MELS, bands);
}

static void take_sample(float sample)
{
#if MODEL_PREEMPHASIS
    static float last;
    if (stream.received)
        stream.samples[(stream.received - 1) % MODEL_RING] = sample - MODEL_PREEMPHASIS_FACTOR * last;
    last = sample;
#else
    stream.samples[stream.received % MODEL_RING] = sample;
#endif
}

static float convert_float(const void *samples, size_t index)
{
    float sample = ((const float *)samples)[index];
    if (!(sample - sample == 0.0f)) /* NaN or infinite */
        return 0.0f;
    return sample > MODEL_MAX_PEAK ? MODEL_MAX_PEAK : sample < -MODEL_MAX_PEAK ? -MODEL_MAX_PEAK : sample;
}

static float convert_int16(const void *samples, size_t index)
{
    return (float)((const int16_t *)samples)[index] / 32768.0f;
}

/* A sample in steps of 2^-MODEL_LEVEL_BITS, rounded. */
static int32_t level_of(float sample)
{
    return (int32_t)(sample * (float)(1 << MODEL_LEVEL_BITS) + (sample < 0.0f ? -0.5f : 0.5f));
}

static void softmax(const uint8_t *logits, float *scores)
{
#if MODEL_MULTI_LABEL
    for (int i = 0; i < MODEL_CLASSES; i++)
        scores[i] = model_probability[logits[i]];
#else
    uint8_t greatest = 0;
    float sum = 0.0f;
    for (int i = 0; i < MODEL_CLASSES; i++)
        greatest = logits[i] > greatest ? logits[i] : greatest;
    for (int i = 0; i < MODEL_CLASSES; i++)
        sum += scores[i] = model_probability[greatest - logits[i]];
    for (int i = 0; i < MODEL_CLASSES; i++)
        scores[i] /= sum;
#endif
}

const float *model_scores(void)
{
    return stream.scores;
}

#endif
#endif
