/* The parts of model.c that take in samples and give scores, in integers; model.c includes this file. */
#ifndef TS_STREAM_H
#define TS_STREAM_H

static void quantize(const float *log_mel, int32_t count, uint8_t *integers)
{
    ts_quantize(log_mel, count, MODEL_INPUT_SCALE, MODEL_INPUT_ZERO, integers);
}

void model_columns(const float *samples, long step, long count, float *log_mel, long row, void *memory)
{
    ts_bin *work = align(memory);
    uint8_t *bands = (uint8_t *)(work + TS_BINS);
    const int32_t limit = 2 << TS_SAMPLE_BITS; /* no sample after pre-emphasis is beyond it */
    for (long frame = 0; frame < count; frame++, samples += step) {
        for (int32_t i = 0; i < MODEL_WIN_LENGTH; i++) {
            int32_t sample = ts_integer_of(samples[i], TS_SAMPLE_BITS);
            work[i / 2].part[i % 2] = sample > limit ? limit : sample < -limit ? -limit : sample;
        }
        ts_bands(work, bands);
        for (long band = 0; band < MODEL_N_MELS; band++)
            log_mel[band * row + frame] = (float)(bands[band] - MODEL_INPUT_ZERO) * MODEL_INPUT_SCALE;
    }
}

#if MODEL_STREAM

/* The sample `place` of the stream after pre-emphasis. */
static int32_t sample_at(uint64_t place)
{
    return ts_emphasize(stream.samples[place % MODEL_RING], stream.samples[(place + 1) % MODEL_RING]);
}

static void put_sample(int32_t place, int32_t sample)
{
    workspace.front_end[place / 2].part[place % 2] = sample;
}

static void log_mel_column(uint8_t *bands)
{
    ts_bands(workspace.front_end, bands);
}

static void take_sample(int16_t sample)
{
    stream.samples[stream.received % MODEL_RING] = sample;
}

static int16_t convert_float(const void *samples, size_t index)
{
    return ts_sample_of(((const float *)samples)[index]);
}

static int16_t convert_int16(const void *samples, size_t index)
{
    return ((const int16_t *)samples)[index];
}

/* A sample in steps of 2^-MODEL_LEVEL_BITS. */
static int32_t level_of(int16_t sample)
{
    return sample * (1 << (MODEL_LEVEL_BITS - 15));
}

/* Probabilities, 31 bits after the point. */
static void softmax(const uint8_t *logits, uint32_t *scores)
{
#if MODEL_MULTI_LABEL
    for (int i = 0; i < MODEL_CLASSES; i++)
        scores[i] = model_probability[logits[i]];
#else
    uint8_t greatest = 0;
    uint64_t sum = 0;
    for (int i = 0; i < MODEL_CLASSES; i++)
        greatest = logits[i] > greatest ? logits[i] : greatest;
    for (int i = 0; i < MODEL_CLASSES; i++)
        sum += model_probability[greatest - logits[i]];
    for (int i = 0; i < MODEL_CLASSES; i++)
        scores[i] = (uint32_t)((((uint64_t)model_probability[greatest - logits[i]] << 31) + sum / 2) / sum);
#endif
}

const uint32_t *model_scores_q31(void)
{
    return stream.scores;
}

const float *model_scores(void)
{
    static float scores[MODEL_CLASSES];
    for (int i = 0; i < MODEL_CLASSES; i++)
        scores[i] = ts_float_of_q31(stream.scores[i]);
    return scores;
}

#endif
#endif
