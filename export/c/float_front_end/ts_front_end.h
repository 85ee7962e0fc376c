/* The log-mel of one frame in float32: window, real FFT, sparse mel filter bank, logarithm.

   Every operation is an IEEE float32 operation in a fixed order, without contraction to fused
   multiply-adds (-ffp-contract=off), so every machine gives the same bits. */
#ifndef TS_FRONT_END_H
#define TS_FRONT_END_H

#include "model_config.h"

#if MODEL_MAGNITUDE
#include <math.h>
#endif
#include <stdint.h>

#define TS_POINTS (MODEL_N_FFT / 2)     /* of the complex FFT */
#define TS_ROWS (TS_POINTS / 16)        /* of it, as [rows][16] */
#define TS_ROWS_ARE_POWER_OF_FOUR ((TS_ROWS & 0x5555) != 0)
#define TS_BINS (TS_POINTS + 16)        /* of a spectrum, with padding for the last group of a band */
#define TS_WORK_FLOATS (4 * TS_POINTS + 16 + 1024)

/* Of vectors, 16 neighbouring rows lie as far apart as the bins that their transforms give; single floats are
   fetched faster from rows side by side. */
#define TS_IN_PLACE (TS_LANES > 1 && TS_ROWS >= 64)
#define TS_PITCH (TS_IN_PLACE ? TS_ROWS : 16) /* floats from a row to its neighbour */
#define TS_PLACE(row)                                                                                      \
    (TS_IN_PLACE ? (int)((unsigned)(row) % 16 * (TS_ROWS / 16) + (unsigned)(row) / 16) : (row))

extern const float model_window[MODEL_WIN_LENGTH] TS_ALIGNED; /* half of the window */
extern const float model_twiddle[2 * (TS_POINTS / 4)];    /* exp(-2 pi i k / points): cosines, then sines */
extern const float model_split[2 * (TS_POINTS / 2)] TS_ALIGNED; /* exp(-2 pi i k / n_fft): cosines, then sines */
extern const uint16_t model_mel_first[MODEL_N_MELS];      /* bin that a band begins with */
extern const uint16_t model_mel_groups[MODEL_N_MELS];     /* bins of it, in groups of 4 */
extern const float model_mel_weight[] TS_ALIGNED;

typedef float ts_sample, ts_score;
typedef float ts_front_end_work[MODEL_WORK_FLOATS];

/* One kind of kernels for the front end. */
typedef struct ts_front_end {
    /* MODEL_WIN_LENGTH samples to TS_BINS powers, or magnitudes where MODEL_MAGNITUDE; work: TS_WORK_FLOATS. */
    void (*spectrum)(const float *samples, float *power, float *work);
    /* `frames` <= side_by_side spectra, TS_BINS apart, to normalised log-mels: band b of frame f at
       log_mel[b * row + f]; work: MODEL_N_MELS * side_by_side. */
    void (*log_mel)(const float *power, int frames, float *log_mel, long row, float *work);
    int side_by_side;
} ts_front_end;

extern const ts_front_end ts_front_end_portable;

/* exp(-2 pi i k / 16) for k = p, 2 p and 3 p, where p is 1, 2, 3: real and imaginary parts in turn. */
extern const float ts_sixteenths[3][6];

/* exp(-2 pi i index / points) for an index below points. */
void ts_turn(int32_t index, float *re, float *im);

/* Of radix-4 butterflies: exp(-2 pi i k index / rows) for k = 1, 2 and 3, real and imaginary parts in turn. */
void ts_rotations_of(int32_t index, float *w);

#endif
