// Classifies sound from a buffer in memory and prints the best label of every window.
#include <model.h>

static int16_t buffer[MODEL_HOP_LENGTH];

// Noise; put in its place what brings your samples, such as I2S or PDM.
static int16_t nextSample()
{
    return (int16_t)random(-32768, 32768);
}

void setup()
{
    Serial.begin(115200);
    model_init();
    model_reset();
}

void loop()
{
    for (int16_t &sample : buffer)
        sample = nextSample();
    if (!model_push_int16(buffer, MODEL_HOP_LENGTH))
        return;
    if (!model_has_signal())
        return; // silence
    const float *scores = model_scores();
    int best = 0;
    for (int i = 1; i < MODEL_CLASSES; i++)
        best = scores[i] > scores[best] ? i : best;
    Serial.print(model_labels[best]);
    Serial.print(' ');
    Serial.println(scores[best]);
}
