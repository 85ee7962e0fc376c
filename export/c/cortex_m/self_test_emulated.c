/* Runs the model on a Cortex-M under QEMU and prints what came out, one line each: the integers of the logits
   of every self-test vector, a hash of a log-mel column, the logits of a stream of noise, and how many
   instructions and bytes of stack these took. Exit code 0 where the self-test vectors are right. */
#include "model.h"
#include "model_self_test.h"
#include "semihosting.h"
#include "ts_self_test.h"

#include <string.h>

extern uint32_t stack_bottom[];

static float log_mel[MODEL_N_MELS * MODEL_FRAMES];
static union {
    uint8_t bytes[MODEL_WORKSPACE];
    int64_t aligned;
} workspace;

/* SysTick counts the processor's clock, which QEMU moves on by instructions with -icount. */
#define SYSTICK ((volatile uint32_t *)0xe000e010)
#define LAST_TICK 0xffffffu
#define CALIBRATION 1000000u

static void count_from_here(void)
{
    SYSTICK[1] = LAST_TICK;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5;
}

/* Ticks since then; 0 where the counter, of 24 bits, ran over. */
static uint32_t ticks(void)
{
    uint32_t now = SYSTICK[2];
    return SYSTICK[0] & 0x10000 ? 0 : LAST_TICK - now;
}

/* Ticks of 2 * CALIBRATION instructions. */
static uint32_t calibrate(void)
{
    uint32_t left = CALIBRATION;
    count_from_here();
    __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n\tbne 1b" : "+r"(left) : : "cc");
    return ticks();
}

static void print_instructions(const char *what, uint32_t count)
{
    print("instructions of ");
    print(what);
    print(": ");
    print_number((uint64_t)count * 2 * CALIBRATION / calibrate());
    print("\n");
}

#define PAINT 0xa5c3a5c3u

static uint32_t *stack_pointer(void)
{
    uint32_t *pointer;
    __asm__ volatile("mov %0, sp" : "=r"(pointer));
    return pointer;
}

static __attribute__((noinline)) void paint_stack(void)
{
    for (volatile uint32_t *word = stack_bottom; word < stack_pointer() - 8; word++)
        *word = PAINT;
}

static __attribute__((noinline)) void print_stack(const char *what)
{
    const volatile uint32_t *word = stack_bottom;
    while (*word == PAINT)
        word++;
    print("stack of ");
    print(what);
    print(": ");
    print_number((uint64_t)((uintptr_t)stack_pointer() - (uintptr_t)word));
    print("\n");
}

static void print_integers(const char *what, int index, const uint8_t *integers)
{
    print(what);
    print(" ");
    print_number((uint64_t)index);
    print(":");
    for (int i = 0; i < MODEL_CLASSES; i++) {
        print(" ");
        print_number(integers[i]);
    }
    print("\n");
}

/* The integers of the logits of a vector; whether they are right. */
static int run_vector(int index)
{
    const model_self_test_vector *vector = &model_self_test_vectors[index];
    float logits[MODEL_CLASSES];
    uint8_t integers[MODEL_CLASSES];
    for (int i = 0; i < MODEL_N_MELS * MODEL_FRAMES; i++)
        log_mel[i] = (float)vector->log_mel[i] / 64.0f;
    paint_stack();
    count_from_here();
    model_run(log_mel, logits, workspace.bytes);
    uint32_t count = ticks();
    if (!index) {
        print_stack("model_run");
        print_instructions("model_run", count);
    }
    for (int i = 0; i < MODEL_CLASSES; i++)
        integers[i] = (uint8_t)(logits[i] / MODEL_OUTPUT_SCALE + 0.5f + MODEL_OUTPUT_ZERO);
    print_integers("vector", index + 1, integers);
    return !memcmp(integers, vector->logits, MODEL_CLASSES);
}

static uint32_t noise = 1;

/* Noise whose loudness goes up and down four times a window. */
static int16_t next_sample(uint32_t place)
{
    noise = noise * 1664525u + 1013904223u;
    return (int16_t)((int16_t)(noise >> 16) >> (4 * place / MODEL_SAMPLES % 4 * 2));
}

static void run_column(void)
{
    static float samples[MODEL_WIN_LENGTH];
    uint32_t hash = 2166136261u, bits;
    for (uint32_t i = 0; i < MODEL_WIN_LENGTH; i++)
        samples[i] = (float)next_sample(i) / 32768.0f;
    count_from_here();
    model_columns(samples, MODEL_HOP_LENGTH, 1, log_mel, 1, workspace.bytes);
    uint32_t count = ticks();
    for (int i = 0; i < MODEL_N_MELS; i++) {
        memcpy(&bits, &log_mel[i], sizeof bits);
        hash = (hash ^ bits) * 16777619u;
    }
    print("hash of a log-mel column: ");
    print_number(hash);
    print("\n");
    print_instructions("a log-mel column", count);
}

/* One window whole, then half a second in chunks of other lengths. */
static void run_stream(void)
{
    static int16_t samples[500];
    uint32_t place = 0, total = 0, chunk;
    int windows = 0;
    model_reset();
    paint_stack();
    for (; place < MODEL_SAMPLES + MODEL_SAMPLES / 2; place += chunk) {
        chunk = place < MODEL_SAMPLES ? (MODEL_SAMPLES - place < 500 ? MODEL_SAMPLES - place : 500)
                                      : 1 + place * 7 % 499;
        for (uint32_t i = 0; i < chunk; i++)
            samples[i] = next_sample(place + i);
        count_from_here();
        int ended = model_push_int16(samples, chunk);
        total += ticks();
        windows += ended;
        if (ended)
            print_integers("window", windows, model_logits());
        if (windows == 1 && ended) {
            print_stack("model_push_int16");
            print_instructions("a window", total);
        }
    }
}

int main(void)
{
    int right = 1;
    model_init();
    print("kernels: ");
    print(model_kernels());
    print("\n");
    for (int i = 0; i < model_self_test_count; i++)
        right &= run_vector(i);
    run_column();
    run_stream();
    right &= ts_column_is_right(workspace.bytes) && ts_window_is_right();
    print(right ? "PASS\n" : "FAIL\n");
    leave(right ? 0 : 1);
    return 0;
}
