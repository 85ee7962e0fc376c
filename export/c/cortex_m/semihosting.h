/* Output and exit through the debugger or emulator (Arm's semihosting), and the instruction counter of QEMU. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

static inline int semihosting_call(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static inline void print(const char *text)
{
    semihosting_call(0x04, text); /* SYS_WRITE0 */
}

static inline void print_number(uint64_t number)
{
    char text[21], *digit = text + 20;
    *digit = 0;
    do {
        *--digit = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    print(digit);
}

static inline void leave(int code)
{
    const uint32_t block[2] = {0x20026, (uint32_t)code}; /* ADP_Stopped_ApplicationExit */
    semihosting_call(0x20, block);                       /* SYS_EXIT_EXTENDED */
    for (;;)
        ;
}

#endif
