/* SIMD kernels for x86, chosen at run time. */
#ifndef TS_X86_H
#define TS_X86_H

#include "ts_front_end.h"
#include "model_network.h"
#include "ts_network.h"

/* The fastest kernels of this processor, or those of a name; both stay as they are where it has none. */
void ts_x86_choose(const ts_kernels **kernels, ts_column **column, const char *name);

#endif
