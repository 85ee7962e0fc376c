/* What the model says of itself: the ModelSpec of the .onnx file, as JSON. Only the shared library has it. */
#ifndef MODEL_SPEC_H
#define MODEL_SPEC_H

#include "model_config.h"

extern MODEL_API const char model_spec[];

#endif
