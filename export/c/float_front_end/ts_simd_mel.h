/* Bands of bins of four frames, each in four sums: see ts_mel_portable. A PAIR holds the sums of two frames. */
TS_NARROW_TARGET static void TS_NAME(mel)(const float *restrict power, int frames, float *restrict bands)
{
    const float *weight = model_mel_weight, *of[4];
    for (int frame = 0; frame < 4; frame++)
        of[frame] = power + (frame < frames ? frame : 0) * TS_BINS;
    for (int band = 0; band < MODEL_N_MELS; band++) {
        PAIR a = P_ZERO, b = a;
        size_t bin = model_mel_first[band];
        for (int group = model_mel_groups[band]; group; group--, bin += 4, weight += 4) {
            PAIR factor = P_TWICE(weight);
            a = P_ADD_PRODUCT(a, P_LOAD(of[0] + bin, of[1] + bin), factor);
            b = P_ADD_PRODUCT(b, P_LOAD(of[2] + bin, of[3] + bin), factor);
        }
        Q_STORE(bands + 4 * band, Q_PAIRS(Q_PAIRS(P_FIRST(a), P_SECOND(a)), Q_PAIRS(P_FIRST(b), P_SECOND(b))));
    }
}
