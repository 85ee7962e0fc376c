/* Bands of bins of four frames, each in four sums: see ts_mel_portable. */
TS_TARGET static void TS_NAME(mel)(const float *restrict power, int frames, float *restrict bands)
{
    const float *weight = model_mel_weight, *of[4];
    for (int frame = 0; frame < 4; frame++)
        of[frame] = power + (frame < frames ? frame : 0) * TS_BINS;
    for (int band = 0; band < MODEL_N_MELS; band++) {
        QUAD a = Q_ZERO, b = a, c = a, d = a;
        size_t bin = model_mel_first[band];
        for (int group = model_mel_groups[band]; group; group--, bin += 4, weight += 4) {
            QUAD factor = Q_LOAD(weight);
            a = a + Q_LOAD(of[0] + bin) * factor;
            b = b + Q_LOAD(of[1] + bin) * factor;
            c = c + Q_LOAD(of[2] + bin) * factor;
            d = d + Q_LOAD(of[3] + bin) * factor;
        }
        Q_STORE(bands + 4 * band, Q_PAIRS(Q_PAIRS(a, b), Q_PAIRS(c, d)));
    }
}
