// Runs the self-test vectors on the board and prints PASS or FAIL, and how long a window's network takes.
#include <model.h>
#include <model_self_test.h>

static float log_mel[MODEL_N_MELS * MODEL_FRAMES];
static int64_t workspace[MODEL_WORKSPACE / 8 + 1];

static bool run(const model_self_test_vector &vector)
{
    float logits[MODEL_CLASSES];
    for (int i = 0; i < MODEL_N_MELS * MODEL_FRAMES; i++)
        log_mel[i] = vector.log_mel[i] / 64.0f;
    model_run(log_mel, logits, workspace);
    for (int i = 0; i < MODEL_CLASSES; i++)
        if (logits[i] != (vector.logits[i] - MODEL_OUTPUT_ZERO) * MODEL_OUTPUT_SCALE)
            return false;
    return true;
}

void setup()
{
    Serial.begin(115200);
    model_init();
}

void loop()
{
    for (int i = 0; i < model_self_test_count; i++) {
        unsigned long start = micros();
        bool right = run(model_self_test_vectors[i]);
        unsigned long passed = micros() - start;
        Serial.print(right ? "PASS " : "FAIL ");
        Serial.print(passed);
        Serial.println(" us");
    }
    delay(5000);
}
