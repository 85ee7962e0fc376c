/* Start-up of a Cortex-M without an operating system: vectors, FPU, memory, main. */
#include <stdint.h>
#include <string.h>

#ifdef EMULATED
#include "semihosting.h"
#endif

extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[], stack_top[];
int main(void);
void reset(void);

static void fault(void)
{
#ifdef EMULATED
    print("fault\n");
    leave(3);
#endif
    for (;;)
        ;
}

void reset(void)
{
    volatile uint32_t *access = (volatile uint32_t *)0xe000ed88; /* CPACR */
    *access |= 0xfu << 20;                                       /* FPU and MVE */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    memcpy(data_start, data_load, (size_t)((uintptr_t)data_end - (uintptr_t)data_start));
    memset(bss_start, 0, (size_t)((uintptr_t)bss_end - (uintptr_t)bss_start));
    main();
    fault();
}

void tick(void) __attribute__((weak, alias("fault")));

typedef void handler(void);
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    handler *reset, *exceptions[13], *tick;
} vectors = {stack_top, reset, {fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault,
                                fault, fault}, tick};
