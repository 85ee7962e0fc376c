/* The front end in portable C99. */
#include "ts_front_end.h"

#define TS_TARGET
#define TS_NAME(name) ts_##name##_portable
#include "ts_front_end_core.h"
